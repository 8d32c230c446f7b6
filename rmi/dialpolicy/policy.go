// Package dialpolicy says which addresses a reference may make a node dial.
//
// A reference holds an address that its sender chose. Without a policy, whoever passes a function
// or an object to a node could make it dial any host and port in its stead: a cloud's metadata
// service, a database that trusts loopback, a unix socket.
//
// # Who chose the address
//
// [refs.Origin] tells. A reference that came from a peer (as an argument, as a result, in an event,
// from a registry) is marked when it arrives, and its proxy keeps the mark. Everything else is the
// program's own choice: the URL of a registry, a reference that the program parsed or made, whatever
// stands in rmi.Options. A program that stores the text of a reference and parses it later has made
// the choice its own. If both the program and a peer gave a reference to one object, the program's
// stays. Calls over a session that exists dial nothing, so nothing is asked. A session whose
// connection is lost is dialled again under the rules of its first dial.
//
// # What is denied
//
// For a reference that came from a peer:
//
//  1. What matches [Policy.Deny] is denied.
//  2. What matches [Policy.Allow] by address is allowed.
//  3. Link-local, multicast, broadcast and unspecified addresses are denied, and the known metadata
//     services of clouds. If the peer itself is at that very IP address, it is allowed.
//  4. If the peer is on another machine, loopback addresses and unix sockets are denied. A peer is
//     on this machine if its connection is a unix socket, is in memory, or has an address of this
//     machine at both ends. So a proxy or tunnel on this machine that lets strangers in makes
//     them look near: then set Deny to "loopback" and "unix:*".
//  5. If [Policy.Only] is set, everything else is denied that does not match Allow.
//  6. The rest is allowed, private networks too.
//
// For the program's own choices none of that is asked, unless [Policy.Own] is set. Then rules 1 and
// 5 hold for them.
//
// A host name is checked twice: as a name, and again when it is resolved, for each address that is
// about to be connected to. So a name whose addresses change between two questions gains nothing.
//
// # How rules are written
//
//	10.0.0.0/8            a network
//	10.1.2.3:7000         an address, with or without a port
//	[2001:db8::]/32:7000  brackets around an IPv6 address keep the port apart
//	bank.example          a host name, as it stands in the reference
//	*.bank.example:7000-7999  all names below one, and a range of ports
//	loopback              127.0.0.0/8, ::1 and localhost
//	private               10/8, 172.16/12, 192.168/16, fc00::/7
//	link-local            169.254/16, fe80::/10
//	*                     every host, but no unix socket
//	udp:*, tcp:10.1.2.3   one network only
//	unix:/run/app/*       paths of unix sockets, as path.Match understands them; unix:* means all
//
// An Allow rule with a name does not allow what the default denies: who answers for the name may
// let it lead to loopback. Allow the address too, if that is wanted.
package dialpolicy

import (
	"fmt"
	"net/netip"
	"path"
	"strconv"
	"strings"

	"gormi/refs"
	"gormi/rmi/fault"
)

// Policy is a dial policy. The zero value is the default that the package comment describes.
type Policy struct {
	Allow []string // allowed, even if the default denies it
	Deny  []string // denied, even if Allow allows it
	Only  bool     // deny what Allow does not allow
	Own   bool     // ask Deny and Only also about addresses that the program itself gave
}

// Rules are a policy in a form that can be asked. They are safe for concurrent use.
type Rules struct {
	allow, deny []rule
	only, own   bool
	err         error
}

// rule is one rule. It has prefixes, a name, a path or all.
type rule struct {
	network  string // "" means tcp and udp
	prefixes []netip.Prefix
	name     string // in lower case; ".x" means all names below x
	path     string
	all      bool
	from, to uint16 // ports
}

var (
	loopback  = prefixes("127.0.0.0/8", "::1/128")
	linkLocal = prefixes("169.254.0.0/16", "fe80::/10")
	private   = prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")

	// classes are the words that stand for addresses.
	classes = map[string][]netip.Prefix{"loopback": loopback, "localhost": loopback, "link-local": linkLocal, "private": private}

	// never are the addresses that no reference of a peer leads to by default.
	never = []struct {
		what     string
		prefixes []netip.Prefix
	}{
		{"the metadata service of a cloud", prefixes("169.254.169.254/32", "169.254.170.2/32", "169.254.170.23/32",
			"fd00:ec2::254/128", "fd00:ec2::23/128", "fd20:ce::254/128", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32")},
		{"link-local", linkLocal},
		{"multicast", prefixes("224.0.0.0/4", "ff00::/8")},
		{"unspecified", prefixes("0.0.0.0/8", "::/128")},
		{"broadcast", prefixes("255.255.255.255/32")},
	}
)

func prefixes(all ...string) (ps []netip.Prefix) {
	for _, s := range all {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

// Compile returns the rules of a policy. If one is malformed, the error says which. The rules then
// deny all that they are asked.
func (p Policy) Compile() (*Rules, error) {
	r := &Rules{only: p.Only, own: p.Own}
	for _, list := range []struct {
		texts []string
		to    *[]rule
	}{{p.Allow, &r.allow}, {p.Deny, &r.deny}} {
		for _, s := range list.texts {
			x, err := parse(s)
			if err != nil && r.err == nil {
				r.err = fault.New(fault.KindInvalid, fault.OutcomeNotExecuted, "Options.Dial has the malformed rule %q: %w", s, err)
			}
			*list.to = append(*list.to, x)
		}
	}
	return r, r.err
}

// parse reads a rule.
func parse(s string) (x rule, err error) {
	x.to = 1<<16 - 1
	rest := s
	for _, network := range []string{"tcp", "udp", "unix"} {
		if after, ok := strings.CutPrefix(s, network+":"); ok {
			x.network, rest = network, after
		}
	}
	if x.network == "unix" || strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, "@") {
		if x.network != "unix" && x.network != "" {
			return x, fmt.Errorf("a path goes with unix:")
		}
		x.network, x.path = "unix", rest
		_, err := path.Match(rest, "")
		if rest == "" {
			err = fmt.Errorf("the path is missing")
		}
		return x, err
	}
	if _, err := netip.ParseAddr(rest); err != nil { // an IPv6 address without brackets has no port
		if _, err := netip.ParsePrefix(rest); err != nil {
			if i := strings.LastIndexByte(rest, ':'); i >= 0 && !strings.HasSuffix(rest, "]") {
				if x.from, x.to, err = ports(rest[i+1:]); err != nil {
					return x, err
				}
				rest = rest[:i]
			}
		}
	}
	rest = strings.NewReplacer("[", "", "]", "").Replace(rest)
	if x.prefixes = classes[strings.ToLower(rest)]; x.prefixes != nil {
		return x, nil
	}
	if a, err := netip.ParseAddr(rest); err == nil {
		a = a.Unmap().WithZone("")
		x.prefixes = []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}
		return x, nil
	}
	if strings.Contains(rest, "/") {
		p, err := netip.ParsePrefix(rest)
		x.prefixes = []netip.Prefix{p.Masked()}
		return x, err
	}
	if rest == "*" {
		x.all = true
		return x, nil
	}
	x.name = strings.ToLower(strings.TrimSuffix(rest, "."))
	name, below := strings.CutPrefix(x.name, "*.")
	if below {
		x.name = "." + name
	}
	return x, refs.ValidHost(name)
}

// ports reads "7000" or "7000-7999".
func ports(s string) (from, to uint16, err error) {
	first, last, ok := strings.Cut(s, "-")
	if !ok {
		last = first
	}
	a, err := strconv.ParseUint(first, 10, 16)
	if err != nil {
		return 0, 0, fmt.Errorf("%q is no port", first)
	}
	b, err := strconv.ParseUint(last, 10, 16)
	if err != nil || b < a {
		return 0, 0, fmt.Errorf("%q is no range of ports", s)
	}
	return uint16(a), uint16(b), nil
}

// matches reports whether a rule is about an address. at is not valid if it is not known yet.
// byName says whether a rule with a name may match.
func (x *rule) matches(ep refs.Endpoint, at netip.Addr, byName bool) bool {
	if ep.IsUnix() {
		ok, _ := path.Match(x.path, ep.Host)
		return x.network == "unix" && (x.path == "*" || ok)
	}
	if x.network != "" && x.network != ep.Network() || ep.Port < x.from || ep.Port > x.to {
		return false
	}
	host := strings.ToLower(strings.TrimSuffix(ep.Host, "."))
	switch {
	case x.all:
		return true
	case x.name != "":
		return byName && (host == x.name || x.name[0] == '.' && strings.HasSuffix(host, x.name))
	}
	return at.IsValid() && within(x.prefixes, at)
}

func within(ps []netip.Prefix, a netip.Addr) bool {
	for _, p := range ps {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func match(list []rule, ep refs.Endpoint, at netip.Addr, byName bool) bool {
	for i := range list {
		if list[i].matches(ep, at, byName) {
			return true
		}
	}
	return false
}

// nat64 and sixToFour are addresses that hold an IPv4 address.
var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour = netip.MustParsePrefix("2002::/16")
)

// forms returns an address as rules know it, and the IPv4 address that it leads to, if another.
func forms(a netip.Addr) []netip.Addr {
	a = a.Unmap().WithZone("")
	b := a.As16()
	switch {
	case nat64.Contains(a):
		return []netip.Addr{a, netip.AddrFrom4([4]byte(b[12:]))}
	case sixToFour.Contains(a):
		return []netip.Addr{a, netip.AddrFrom4([4]byte(b[2:6]))}
	}
	return []netip.Addr{a}
}

// Asked tells why an endpoint may not be dialled, before anything is resolved. A nil error about a
// host name means only that its addresses must be asked about.
func (r *Rules) Asked(ep refs.Endpoint, from refs.Origin) error {
	if a, err := netip.ParseAddr(ep.Host); err == nil {
		return r.Resolved(ep, a, from)
	}
	switch {
	case !r.governs(from):
		return nil
	case r.err != nil:
		return r.err
	case match(r.deny, ep, netip.Addr{}, true):
		return denied(ep, "it is on the list of what is denied")
	case ep.IsUnix():
		return r.rest(ep, match(r.allow, ep, netip.Addr{}, true), from == refs.OriginRemote, "a unix socket, and the reference came from another machine")
	case ep.IsLoopback():
		return r.Resolved(ep, netip.AddrFrom4([4]byte{127, 0, 0, 1}), from)
	}
	return nil
}

// Unresolved tells why an endpoint may not be dialled whose host is a name that this machine will
// not resolve.
func (r *Rules) Unresolved(ep refs.Endpoint, from refs.Origin) error {
	if err := r.Asked(ep, from); err != nil || !r.governs(from) {
		return err
	}
	return r.rest(ep, match(r.allow, ep, netip.Addr{}, true), false, "")
}

// Resolved tells why an endpoint may not be dialled at an address of its host.
func (r *Rules) Resolved(ep refs.Endpoint, at netip.Addr, from refs.Origin) error {
	switch {
	case !r.governs(from):
		return nil
	case r.err != nil:
		return r.err
	}
	bad, what, named := false, "", match(r.allow, ep, netip.Addr{}, true)
	for _, a := range forms(at) {
		if match(r.deny, ep, a, true) {
			return denied(ep, "it is on the list of what is denied")
		}
		if match(r.allow, ep, a, false) {
			named = true
			continue
		}
		if from == refs.OriginRemote && within(loopback, a) {
			bad, what = true, "loopback, and the reference came from another machine"
		}
		for _, n := range never {
			if from != refs.OriginProgram && from != refs.OriginBeside && !bad && within(n.prefixes, a) {
				bad, what = true, n.what
			}
		}
	}
	if bad {
		return denied(ep, "its address is "+what)
	}
	return r.rest(ep, named, false, "")
}

// rest decides what neither Deny nor the address decided.
func (r *Rules) rest(ep refs.Endpoint, allowed, bad bool, what string) error {
	switch {
	case allowed:
		return nil
	case bad:
		return denied(ep, "it is "+what)
	case r.only:
		return denied(ep, "it is not on the list of what is allowed")
	}
	return nil
}

// governs reports whether the rules hold for what came from somebody.
func (r *Rules) governs(from refs.Origin) bool { return from != refs.OriginProgram || r.own }

func denied(ep refs.Endpoint, why string) error {
	return fault.New(fault.KindDenied, fault.OutcomeNotExecuted, "the dial policy of this node (its Options.Dial) denies %q: %s", ep.String(), why)
}
