package refs

import (
	"net/netip"
	"strings"
)

// Origin says who chose the address in a reference: the program, or a peer. It decides what the
// reference may make a node dial (package dialpolicy). It does not travel, and has no text form. So
// a reference that a program parses, or makes from its fields, is the program's own choice.
type Origin uint8

const (
	OriginProgram Origin = iota // the program made the reference
	OriginPeer                  // it came from a peer on this machine
	OriginRemote                // it came from a peer on another machine
	OriginBeside                // it came from a peer, and leads to the IP address at which that peer is
)

// From returns r as it came from a peer. peerHost is the host with which the peer was reached, or
// from which it came. remote says that the peer is on another machine. A name may lead somewhere
// else tomorrow, so only an IP address makes a reference OriginBeside.
func (r Ref) From(peerHost string, remote bool) Ref {
	at, err := netip.ParseAddr(peerHost)
	beside := func(e Endpoint) bool {
		if !e.Listens() {
			return true
		}
		host, bad := netip.ParseAddr(e.Host)
		return err == nil && bad == nil && host == at
	}
	switch {
	case beside(r.Endpoint) && beside(r.Via.Endpoint):
		r.Origin = OriginBeside
	case remote:
		r.Origin = OriginRemote
	default:
		r.Origin = OriginPeer
	}
	return r
}

// String returns the name of the origin, in words.
func (o Origin) String() string {
	if int(o) < len(origins) {
		return origins[o]
	}
	return "unknown"
}

var origins = strings.Split("program,peer,remote peer,peer itself", ",")
