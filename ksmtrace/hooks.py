"""The two pluggy markers: `hookimpl` for plugins, `hookspec` for ksmtrace itself."""

import pluggy

hookspec = pluggy.HookspecMarker("ksmtrace")
hookimpl = pluggy.HookimplMarker("ksmtrace")
