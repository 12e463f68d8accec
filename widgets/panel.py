"""What a panel is: the window's protocol, with the docks that panels may lie in."""

from splatviz_app.window import Dock, Panel

__all__ = ["Dock", "Panel"]
