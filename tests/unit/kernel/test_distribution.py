"""Install commands, for the os-release files that distributions have."""

import pytest

from ksmtrace.kernel.distribution import Distribution, read_distribution

DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n'
BULLSEYE = 'PRETTY_NAME="Debian GNU/Linux 11 (bullseye)"\nVERSION_ID="11"\nID=debian\n'
SID = 'PRETTY_NAME="Debian GNU/Linux forky/sid"\nID=debian\n'
JAMMY = 'PRETTY_NAME="Ubuntu 22.04.5 LTS"\nVERSION_ID="22.04"\nID=ubuntu\nID_LIKE=debian\n'
NOBLE = 'PRETTY_NAME="Ubuntu 24.04.1 LTS"\nVERSION_ID="24.04"\nID=ubuntu\nID_LIKE=debian\n'
MINT = 'PRETTY_NAME="Linux Mint 22"\nID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_ID="22"\n'
FEDORA = (
    'NAME="Fedora Linux"\nPRETTY_NAME="Fedora Linux 42 (Cloud Edition)"\nID=fedora\nVERSION_ID=42\n'
)
ROCKY = (
    'PRETTY_NAME="Rocky Linux 9.4"\nID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n'
)
LEAP = (
    'PRETTY_NAME="openSUSE Leap 15.6"\nID="opensuse-leap"\n'
    'ID_LIKE="suse opensuse"\nVERSION_ID="15.6"\n'
)
ARCH = 'PRETTY_NAME="Arch Linux"\nID=arch\nBUILD_ID=rolling\n'
ALPINE = 'PRETTY_NAME="Alpine Linux v3.20"\nID=alpine\nVERSION_ID=3.20.3\n'
NIXOS = 'PRETTY_NAME="NixOS 24.05"\nID=nixos\nVERSION_ID="24.05"\n'


def on(tmp_path, text, where="etc/os-release"):
    path = tmp_path / where
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return read_distribution(tmp_path)


@pytest.mark.parametrize(
    ("text", "bcc", "libbpf"),
    [
        (DEBIAN, "apt-get install python3-bpfcc", "apt-get install libbpf1"),
        (BULLSEYE, "apt-get install python3-bpfcc", "apt-get install libbpf0"),
        (SID, "apt-get install python3-bpfcc", "apt-get install libbpf1"),
        (JAMMY, "apt-get install python3-bpfcc", "apt-get install libbpf0"),
        (NOBLE, "apt-get install python3-bpfcc", "apt-get install libbpf1"),
        (MINT, "apt-get install python3-bpfcc", "apt-get install libbpf1"),
        (FEDORA, "dnf install python3-bcc", "dnf install libbpf"),
        (ROCKY, "dnf install python3-bcc", "dnf install libbpf"),
        (LEAP, "zypper install python3-bcc", "zypper install libbpf1"),
        (ARCH, "pacman -S python-bcc", "pacman -S libbpf"),
        (ALPINE, "apk add py3-bcc", "apk add libbpf"),
    ],
)
def test_packages(tmp_path, text, bcc, libbpf):
    distribution = on(tmp_path, text)
    assert distribution.install_bcc() == bcc
    assert distribution.install_libbpf() == libbpf


@pytest.mark.parametrize(
    ("text", "command", "vmlinux"),
    [
        (DEBIAN, "apt-get install linux-image-6.9-dbg", "/usr/lib/debug/boot/vmlinux-6.9"),
        (NOBLE, "apt-get install linux-image-6.9-dbgsym", "/usr/lib/debug/boot/vmlinux-6.9"),
        (FEDORA, "dnf debuginfo-install kernel-core-6.9", "/usr/lib/debug/lib/modules/6.9/vmlinux"),
        (ROCKY, "dnf debuginfo-install kernel-core-6.9", "/usr/lib/debug/lib/modules/6.9/vmlinux"),
        (LEAP, "zypper install kernel-default-debuginfo", "VMLINUX"),
    ],
)
def test_debug_symbols(tmp_path, text, command, vmlinux):
    distribution = on(tmp_path, text)
    assert distribution.install_symbols("6.9").startswith(command)
    assert distribution.vmlinux("6.9") == vmlinux


@pytest.mark.parametrize("text", [ARCH, ALPINE, MINT, NIXOS, ""])
def test_kernels_of_other_names_get_a_sentence(tmp_path, text):
    """Also where the distribution is only like one whose kernels we know."""
    distribution = on(tmp_path, text)
    assert "vmlinux with debug information of this very build" in distribution.install_symbols("6")
    assert distribution.vmlinux("6") == "VMLINUX"


@pytest.mark.parametrize("text", [NIXOS, "", "\0\xff=\n====\nID='unclosed\n"])
def test_an_unknown_distribution_gets_sentences(tmp_path, text):
    distribution = on(tmp_path, text)
    assert distribution.install_bcc().startswith("install the Python 3 module of bcc")
    assert distribution.install_libbpf().startswith("install libbpf, 1.0 or later")


def test_no_os_release(tmp_path):
    assert read_distribution(tmp_path) == Distribution()


def test_the_second_place_is_read_too(tmp_path):
    found = on(tmp_path, "# a comment\n\n" + ROCKY, "usr/lib/os-release")
    assert found == Distribution("Rocky Linux 9.4", "rocky", ("rhel", "centos", "fedora"), (9, 4))
