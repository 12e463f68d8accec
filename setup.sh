#!/bin/sh
# Makes .venv and the few system libraries ready. Usage: sh setup.sh run|test
# Does nothing when everything is there; `make` calls it before each target.
set -eu
purpose=${1:-run}
requirements=requirements.txt
[ "$purpose" = test ] && requirements=requirements-dev.txt
python=${PYTHON:-python3}

say() { printf '%s\n' "$*" >&2; }

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    say "Splathead needs Python 3.11 or newer as '$python'. Install it, or name it: make PYTHON=python3.12 run"
    exit 1
fi

# System libraries: OpenGL through EGL for the window, libX11 and libXext that it links to.
packages=""
if command -v dpkg-query >/dev/null 2>&1; then
    wanted="libx11-6 libxext6 libegl1 libgl1 libgl1-mesa-dri libopengl0"
    "$python" -c 'import ensurepip, venv' 2>/dev/null || wanted="$wanted python3-venv"
    # A real X server without a screen and a hand for it: for one test.
    [ "$purpose" = test ] && wanted="$wanted xvfb xauth xdotool"
    for package in $wanted; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || packages="$packages $package"
    done
fi
if [ -n "$packages" ]; then
    install="apt-get update && apt-get install -y --no-install-recommends$packages"
    if [ "$(id -u)" = 0 ]; then
        say "Installing system libraries:$packages"
        DEBIAN_FRONTEND=noninteractive sh -c "$install" >/dev/null || say "That failed; run it by hand: $install"
    else
        say "Some system libraries are missing. This installs them:  sudo sh -c '$install'"
    fi
fi

# The virtual environment; filled again only when the requirements change. One whose Python is gone, or
# that was left without pip, is made anew.
stamp=.venv/.$purpose.stamp
sum=$(cat requirements.txt "$requirements" | cksum)
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$sum" ] || ! .venv/bin/python -c '' 2>/dev/null; then
    .venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear .venv
    say "Installing Python packages (the first time this takes minutes)"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$requirements"
    printf '%s' "$sum" >"$stamp"
fi
