"""Imports point downward, each foreign thing has one door, and nothing heavy is loaded unasked."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("renderer", "models", "inversion", "training", "splatviz_app", "widgets")
PROGRAMS = ("benchmarks", "examples")  # they are run, never imported by the rest


def python_files(*folders):
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in files if "__pycache__" not in path.parts]


SOURCES = [ROOT / "main.py", *python_files(*PACKAGES)]
ALL = [*SOURCES, *python_files(*PROGRAMS)]


def name_of(path):
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(tree):
    """Every module that a file imports, at its top or within a function: "torch.nn.functional"."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def imported_tops(tree):
    return {module.partition(".")[0] for module in imported(tree)}


def bare_names(tree):
    """Names that are read, not attributes: `eval`, but not `model.eval`."""
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def dotted(tree):
    """Every attribute chain that begins at a name: "torch.cuda.is_available", "torch.cuda"."""
    return {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def breaking(files, breaks, doors=()):
    """Names of the files that break a rule and are not its doors."""
    return [name_of(f) for f in files if name_of(f) not in doors and breaks(tree_of(f))]


def using_door(path, uses):
    """Whether a door is still one: an entry in a list of doors that nobody uses is a hole."""
    return uses(tree_of(ROOT / path))


# ---- directions


def test_imports_point_downward(monkeypatch):
    from importlinter.cli import lint_imports

    monkeypatch.chdir(ROOT)

    assert lint_imports(config_filename="pyproject.toml", no_cache=True, no_logo=True) == 0


def test_nothing_imports_the_programs_or_the_tests():
    forbidden = {*PROGRAMS, "tests", "main"}

    assert breaking(SOURCES, lambda tree: imported_tops(tree) & forbidden) == []


FOREIGN = {
    # What a package may know besides Python, itself and what lies below it.
    "renderer": {"torch", "numpy", "numba", "llvmlite", "cmap", "gsplat", "platformdirs"},
    "models": {"torch", "numpy", "safetensors", "tyro"},
    "inversion": {
        *("torch", "numpy", "safetensors", "tyro", "tqdm", "platformdirs"),
        *("cv2", "PIL", "pillow_heif", "mediapipe"),
        *("torchvision", "facenet_pytorch", "lpips"),
    },
    "widgets": {"imgui_bundle", "numpy", "psutil"},
}


@pytest.mark.parametrize("package", FOREIGN)
def test_a_package_knows_only_the_libraries_it_may(package):
    allowed = FOREIGN[package] | set(PACKAGES) | set(sys.stdlib_module_names)

    found = {
        name_of(path): imported_tops(tree_of(path)) - allowed for path in python_files(package)
    }

    assert {name: modules for name, modules in found.items() if modules} == {}


# ---- one door each


def test_only_the_window_knows_opengl():
    def uses(tree):
        return imported_tops(tree) & {"OpenGL", "glfw"}

    assert breaking(ALL, uses, doors=["splatviz_app/window.py", "benchmarks/window.py"]) == []
    assert using_door("splatviz_app/window.py", uses)


def test_only_the_window_and_the_panels_know_imgui():
    files = [path for path in SOURCES if path.parent.name != "widgets"]

    assert (
        breaking(
            files, lambda tree: "imgui_bundle" in imported_tops(tree), ["splatviz_app/window.py"]
        )
        == []
    )


def test_no_file_is_ever_unpickled():
    def unpickles(tree):
        loads = {"pickle.load", "pickle.loads", "pickle.Unpickler", "torch.load"}
        from_pickle = {"pickle.load", "pickle.loads", "pickle.Unpickler"} & imported(tree)
        allow = [
            k for n in ast.walk(tree) if isinstance(n, ast.Call) for k in n.keywords
            if k.arg == "allow_pickle" and not (isinstance(k.value, ast.Constant) and not k.value.value)
        ]  # fmt: skip
        others = {"marshal", "shelve", "dill", "cloudpickle", "joblib"} & imported_tops(tree)
        return loads & dotted(tree) or from_pickle or allow or others

    def checks_first(tree):
        """Whether torch.load is restricted to weights, behind a digest."""
        calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
        loads = [n for n in calls if ast.unparse(n.func) == "torch.load"]
        weights_only = [k for n in loads for k in n.keywords if k.arg == "weights_only"]
        return "hashlib" in imported_tops(tree) and [
            ast.unparse(k.value) for k in weights_only
        ] == ["True"]

    doors = ["training/inception.py", "inversion/weights.py"]
    assert breaking(ALL, unpickles, doors) == []
    assert all(using_door(door, checks_first) for door in doors)


def test_only_the_inert_reader_knows_the_opcodes_of_pickles():
    def uses(tree):
        return "pickle" in imported_tops(tree)

    assert breaking(SOURCES, uses, doors=["models/inert_pickle.py"]) == []
    assert using_door("models/inert_pickle.py", uses)


def test_only_the_users_scripts_are_run_as_code():
    forbidden = {"exec", "eval", "compile", "__import__"}

    def uses(tree):
        return bare_names(tree) & forbidden

    # What the user types, and presets that the user agreed to.
    assert breaking(ALL, uses, doors=["splatviz_app/edits/script.py"]) == []
    assert using_door("splatviz_app/edits/script.py", uses)
    assert breaking(ALL, lambda tree: "importlib" in imported_tops(tree)) == []


def test_gpu_libraries_stay_in_the_backends():
    gpu = {"gsplat", "cupy", "triton", "pycuda", "numba.cuda"}

    def uses(tree):
        return {m for m in imported(tree) if any(m == g or m.startswith(f"{g}.") for g in gpu)}

    files = [path for path in ALL if not path.name.endswith("_backend.py")]
    assert breaking(files, uses) == []
    assert using_door("renderer/gsplat_backend.py", uses)


def test_only_inversion_knows_the_libraries_of_faces():
    libraries = {"facenet_pytorch", "lpips", "torchvision", "mediapipe", "pillow_heif"}
    files = [path for path in ALL if path.parent != ROOT / "inversion"]

    assert breaking(files, lambda tree: libraries & imported_tops(tree)) == []


def test_opencv_is_known_only_where_photos_are():
    homes = (ROOT / "inversion", ROOT / "splatviz_app" / "inversion")
    files = [path for path in ALL if path.parent not in homes]

    assert breaking(files, lambda tree: "cv2" in imported_tops(tree)) == []


def test_torchvision_is_imported_through_the_file_that_makes_it_work():
    def uses(tree):
        return "torchvision" in imported_tops(tree)

    def forgets(tree):
        """Whether a library on top of torchvision is imported without making that work first."""
        above = {"facenet_pytorch", "lpips"} & imported_tops(tree)
        return above and "ensure_torchvision" not in bare_names(tree)

    assert breaking(ALL, uses, doors=["inversion/torchvision_ops.py"]) == []
    assert using_door("inversion/torchvision_ops.py", uses)
    assert breaking(ALL, forgets) == []


def test_few_files_ask_whether_there_is_a_gpu():
    doors = [
        "renderer/gsplat_backend.py",  # draws on it
        "splatviz_app/scenes.py",  # chooses the device of a head
        "models/fast_generator.py",  # makes heads on it
        "training/launch.py",  # gives each process its own
    ]

    def uses(tree):
        return "torch.cuda" in dotted(tree)

    assert breaking(SOURCES, uses, doors) == []
    assert all(using_door(door, uses) for door in doors)


def test_only_command_lines_print():
    files = [path for path in SOURCES if path.name not in ("__main__.py", "main.py")]

    # The window prints once, where it has closed and there is nowhere else.
    assert (
        breaking(files, lambda tree: "print" in bare_names(tree), ["splatviz_app/window.py"]) == []
    )


def test_nothing_seeds_a_generator_that_others_share():
    shared = {
        "torch.manual_seed",
        "torch.seed",
        "np.random.seed",
        "numpy.random.seed",
        "random.seed",
    }

    assert breaking(SOURCES, lambda tree: shared & dotted(tree)) == []


def test_panels_hold_no_tensors():
    assert breaking(python_files("widgets"), lambda tree: "torch" in imported_tops(tree)) == []


# ---- what a reader meets


def test_every_module_says_what_lives_there():
    assert breaking(ALL, lambda tree: not ast.get_docstring(tree)) == []


# ---- what an import costs


def run_python(code):
    """Run code in a Python of its own, without a screen and without a GPU; return what it prints."""
    hidden = {"DISPLAY", "WAYLAND_DISPLAY"}
    env = {k: v for k, v in os.environ.items() if k not in hidden} | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_but_the_windows_loads_without_a_screen_a_gpu_or_their_libraries():
    modules = [
        name_of(path)[:-3].replace("/", ".").removesuffix(".__init__")
        for path in python_files("renderer", "models", "inversion", "training", "splatviz_app")
        if path.name not in ("window.py", "__main__.py", "gsplat_backend.py", "cpu_backend.py")
        and "cpu_kernels" not in path.parts
    ]
    heavy = ("imgui_bundle", "OpenGL", "glfw", "numba", "gsplat", "cmap", "matplotlib")
    heavy += ("torchvision", "facenet_pytorch", "lpips", "mediapipe", "pillow_heif")

    code = f"import sys, {', '.join(modules)}\n"
    code += f"print([name for name in {heavy!r} if name in sys.modules])"

    assert "splatviz_app.session" in modules
    assert run_python(code).strip() == "[]"


def test_the_gpu_backend_loads_without_a_gpu_and_says_why_it_cannot_draw():
    said = run_python("from renderer import gsplat_backend; print(gsplat_backend.why_not())")

    assert "needs an NVIDIA GPU" in said


# ---- the rules above can fail


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import OpenGL.GL", "OpenGL"),
        ("def f():\n    from glfw import init", "glfw"),
        ("if x:\n    import numba.cuda as c", "numba"),
    ],
)
def test_imports_are_found_wherever_they_hide(code, found):
    assert found in imported_tops(ast.parse(code))


def test_calls_are_told_from_methods_of_the_same_name():
    assert "eval" not in bare_names(ast.parse("model.eval()"))
    assert "eval" in bare_names(ast.parse("f = eval"))
    assert "torch.load" in dotted(ast.parse("x = torch.load(path)"))
