"""How processes of one machine are told to meet: in the words that those who meet understand."""

from __future__ import annotations

from pathlib import Path

import psutil

from glassbox.training.parallel import RENDEZVOUS_VARIABLE
from glassbox.workshop.jobs.launchers.loopback import loopback_variables


def test_the_processes_look_for_one_another_where_the_launcher_says() -> None:
    given = loopback_variables(Path("/tmp/meeting"))
    assert given[RENDEZVOUS_VARIABLE] == "file:///tmp/meeting"


def test_they_talk_on_a_device_that_leads_nowhere() -> None:
    given = loopback_variables(Path("/tmp/meeting"))
    devices = {given["GLOO_SOCKET_IFNAME"], given["NCCL_SOCKET_IFNAME"]}
    assert len(devices) == 1
    assert any(address.address.startswith("127.") for address in psutil.net_if_addrs()[devices.pop()])
