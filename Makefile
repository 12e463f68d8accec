# Each target sets up what it needs: its own .venv, and the system libraries where it may.
python = .venv/bin/python
# Tests and checks never look for a screen.
headless = env -u DISPLAY -u WAYLAND_DISPLAY

.PHONY: run test check bench shots

run: ## open Splathead; pass arguments as in: make run ARGS="--model head.ply"
	@sh setup.sh run
	@$(python) main.py $(ARGS)

test: ## all tests, the window's included; needs no display
	@sh setup.sh test
	@$(headless) $(python) -m pytest $(ARGS)

check: ## format, lint, types, import directions
	@sh setup.sh test
	@$(python) -m ruff format --check .
	@$(python) -m ruff check .
	@$(python) -m mypy
	@.venv/bin/lint-imports

bench: ## the figures of benchmarks/RESULTS.md, measured here
	@sh setup.sh test
	@for name in rasterizer generator formats window training demo editing inversion; do \
		echo "== $$name"; $(headless) $(python) -m benchmarks.$$name || exit 1; \
	done

shots: ## the pictures in docs/
	@sh setup.sh run
	@$(headless) $(python) main.py --fresh --screenshot docs/window.png
	@$(headless) $(python) -m examples.draw_demo_heads
	@$(headless) $(python) -m examples.inversion_pictures
