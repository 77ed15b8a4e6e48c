"""The servers that are compared, a file each. Adding one: a subclass of Server, and its line here."""

from .haproxy import HAProxy
from .hitch import Hitch
from .nginx import Nginx, NginxMail
from .postern import Postern
from .stunnel import Stunnel

# In the order of the report.
ALL = {kind.name: kind for kind in (Postern, Nginx, NginxMail, HAProxy, Hitch, Stunnel)}
