"""A Cyrus of the tests' own: IMAP, POP3, ManageSieve and LMTP, from the packages that tools/test unpacks.

It takes every password, makes a mailbox for whoever logs in, and runs as nobody.
"""

import os
import pathlib
import pwd
import shutil
import signal
import subprocess

import pytest

from support import TOP
from support.leftovers import processes_of_session
from support.ports import free_port
from support.process import Process, die_with_the_tests, send_signal

_IMAPD_CONF = """
configdirectory: {directory}/conf
partition-default: {directory}/mail
sievedir: {directory}/sieve
cyrus_user: {user}
servername: cyrus.example.test
lmtpsocket: {directory}/lmtp.sock
idlesocket: {directory}/idle.sock
notifysocket: {directory}/notify.sock
sasl_pwcheck_method: alwaystrue
sasl_mech_list: PLAIN
allowplaintext: no
autocreate_quota: 0
tls_server_cert: {directory}/cert.pem
tls_server_key: {directory}/key.pem
# What docs/servers.md says, service by service of cyrus.conf.
sievelayer_allowplaintext: yes
imap_allowstarttls: yes
pop3_allowstarttls: yes
sieve_allowstarttls: yes
"""

# Name in cyrus.conf, program and options. The ones with "layer" are for a proxy that has ended TLS.
_SERVICES = {
    "imap": "imapd", "imaps": "imapd -s", "imaplayer": "imapd -p 128",
    "pop3": "pop3d", "pop3s": "pop3d -s", "pop3layer": "pop3d -p 128",
    "sieve": "timsieved", "sievelayer": "timsieved",
    "lmtp": "lmtpd -a",
}


def unpacked():
    """Where the packages are; skips the test when they are not there."""
    script = 'source "$1" && unpacked_place'
    place = subprocess.run(["bash", "-c", script, "bash", TOP / "tools/packages"], stdout=subprocess.PIPE, check=True)
    place = pathlib.Path(place.stdout.decode().strip())
    if not (place / "usr/lib/cyrus/bin/imapd").exists():
        pytest.skip("Cyrus is not unpacked: tools/test does that as root, with a network")
    return place


class Cyrus:
    def __init__(self, directory, pair):
        self.directory = directory
        self.ports = {name: free_port() for name in _SERVICES}
        user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        # What the user can read: the cache and the key are its owner's alone.
        place = unpacked()
        programs = directory / "bin"
        shutil.copytree(place / "usr/lib/cyrus/bin", programs)
        libraries = next(place.glob("usr/lib/*/libcyrus.so.0")).parent
        shutil.copytree(libraries, directory / "lib", symlinks=True)
        shutil.copyfile(pair.certificate, directory / "cert.pem")
        shutil.copyfile(pair.key, directory / "key.pem")
        for name in ("mail", "sieve", "conf", "conf/db", "conf/socket", "conf/proc", "conf/msg", "conf/lock"):
            (directory / name).mkdir()
        (directory / "imapd.conf").write_text(_IMAPD_CONF.format(directory=directory, user=user.pw_name))
        options = f"-C {directory}/imapd.conf"
        services = ""
        for name, command in _SERVICES.items():
            program, _, more = command.partition(" ")
            services += f'  {name} cmd="{programs}/{program} {options} {more}" listen="127.0.0.1:{self.ports[name]}"\n'
        (directory / "cyrus.conf").write_text(f"START {{\n  recover cmd=\"{programs}/ctl_cyrusdb {options} -r\"\n}}\n"
                                              f"SERVICES {{\n{services}}}\nEVENTS {{\n}}\n")
        if os.geteuid() == 0:
            for path in [directory, *directory.rglob("*")]:
                os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)

        def become_the_user():
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(user.pw_gid)
                os.setuid(user.pw_uid)
                die_with_the_tests()  # again, for the kernel forgets it with the user

        self.process = Process(
            [programs / "master", "-C", directory / "imapd.conf", "-M", directory / "cyrus.conf", "-p",
             directory / "master.pid", "-D"], directory / "cyrus.log", preexec=become_the_user,
            env={**os.environ, "LD_LIBRARY_PATH": str(directory / "lib")})
        self.process.wait_until_it_greets(self.ports["imap"], b"* OK")

    def port(self, service):
        return self.ports[service]

    def stop(self):
        self.process.stop()
        # Services end by themselves, some of them later.
        for pid in processes_of_session(self.process.pid):
            send_signal(pid, signal.SIGKILL)
