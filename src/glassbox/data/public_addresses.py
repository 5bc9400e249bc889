"""Which internet addresses are public: somebody else's machine, and not one of a network that only we can reach.

The table is IANA's special-purpose registries (RFC 6890 and its successors), written out, because Python's own
`is_global` has changed between versions. What carries an IPv4 address inside an IPv6 one is refused as a whole: nobody
publishes such addresses, and each would be a way around the table.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

_NOT_PUBLIC_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by a provider's customers; a cloud's metadata
        "127.0.0.0/8",  # this machine
        "168.63.129.16/32",  # looks public, but is a cloud's own service at every of its machines
        "169.254.0.0/16",  # link-local; most clouds' metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; a cloud's metadata
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)

_UNICAST_6 = IPv6Network("2000::/3")
"""All that is given out of IPv6; loopback, link-local, unique local, multicast, mapped and NAT64 lie outside of it."""

_NOT_PUBLIC_6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)


def is_public(address: Address) -> bool:
    """Whether the address belongs to the public internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    if address.scope_id is not None:  # fe80::1%eth0
        return False
    return address in _UNICAST_6 and not any(address in network for network in _NOT_PUBLIC_6)


def parse_address(text: str) -> Address | None:
    """The address that a text is in its usual form, else None: a name, or 0x7f.1, 0177.0.0.1, 2130706433."""
    try:
        return ip_address(text)
    except ValueError:
        return None
