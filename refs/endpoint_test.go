package refs_test

import (
	"strings"
	"testing"

	"gormi/refs"
)

func TestEndpoint(t *testing.T) {
	type is struct{ zero, unix, blank, listens, loopback bool }
	for _, test := range []struct {
		endpoint               refs.Endpoint
		text, network, address string
		is                     is
	}{
		{refs.Endpoint{}, "", "tcp", ":0", is{zero: true}},
		{refs.Endpoint{Port: 7000}, ":7000", "tcp", ":7000", is{blank: true, listens: true}},
		{refs.Endpoint{Host: "bank", Port: 7000}, "bank:7000", "tcp", "bank:7000", is{listens: true}},
		{refs.Endpoint{Host: "bank"}, "bank:0", "tcp", "bank:0", is{}},
		{refs.Endpoint{Host: "localhost", Port: 1}, "localhost:1", "tcp", "localhost:1", is{listens: true, loopback: true}},
		{refs.Endpoint{Host: "LocalHost.", Port: 1}, "LocalHost.:1", "tcp", "LocalHost.:1", is{listens: true, loopback: true}},
		{refs.Endpoint{Host: "localhost.example", Port: 1}, "localhost.example:1", "tcp", "localhost.example:1", is{listens: true}},
		{refs.Endpoint{Host: "127.0.0.1", Port: 1}, "127.0.0.1:1", "tcp", "127.0.0.1:1", is{listens: true, loopback: true}},
		{refs.Endpoint{Host: "127.8.9.1", Port: 1}, "127.8.9.1:1", "tcp", "127.8.9.1:1", is{listens: true, loopback: true}},
		{refs.Endpoint{Host: "10.0.0.1", Port: 1}, "10.0.0.1:1", "tcp", "10.0.0.1:1", is{listens: true}},
		{refs.Endpoint{Host: "0.0.0.0", Port: 1}, "0.0.0.0:1", "tcp", "0.0.0.0:1", is{listens: true}},
		{refs.Endpoint{Host: "::", Port: 1}, "[::]:1", "tcp", "[::]:1", is{listens: true}},
		{refs.Endpoint{Host: "::1", Port: 1}, "[::1]:1", "tcp", "[::1]:1", is{listens: true, loopback: true}},
		{refs.Endpoint{Host: "::1%lo", Port: 1}, "[::1%lo]:1", "tcp", "[::1%lo]:1", is{listens: true, loopback: true}},
		{refs.Endpoint{Host: "::ffff:127.0.0.1", Port: 1}, "[::ffff:127.0.0.1]:1", "tcp", "[::ffff:127.0.0.1]:1", is{listens: true, loopback: true}},
		{refs.Endpoint{Host: "fe80::1%eth0", Port: 1}, "[fe80::1%eth0]:1", "tcp", "[fe80::1%eth0]:1", is{listens: true}},
		{refs.Endpoint{Host: "/run/x.sock"}, "unix:/run/x.sock", "unix", "/run/x.sock", is{unix: true, listens: true, loopback: true}},
		{refs.Endpoint{Host: "bank", Port: 7000, UDP: true}, "udp:bank:7000", "udp", "bank:7000", is{listens: true}},
		{refs.Endpoint{Port: 7000, UDP: true}, "udp::7000", "udp", ":7000", is{blank: true, listens: true}},
		{refs.Endpoint{Host: "127.0.0.1", Port: 0, UDP: true}, "udp:127.0.0.1:0", "udp", "127.0.0.1:0", is{loopback: true}},
		{refs.Endpoint{Host: "::1", Port: 1, UDP: true}, "udp:[::1]:1", "udp", "[::1]:1", is{listens: true, loopback: true}},
		{refs.Endpoint{Host: "udp", Port: 1, UDP: true}, "udp:udp:1", "udp", "udp:1", is{listens: true}},
		{refs.Endpoint{Host: "udp", Port: 1}, "udp:1", "tcp", "udp:1", is{listens: true}},
		{refs.Endpoint{Host: "@x"}, "unix:@x", "unix", "@x", is{unix: true, listens: true, loopback: true}},
	} {
		e := test.endpoint
		if got := e.String(); got != test.text {
			t.Errorf("%#v prints %q, want %q", e, got, test.text)
		}
		if e.Network() != test.network || e.Address() != test.address {
			t.Errorf("%q is dialled as %s %q", test.text, e.Network(), e.Address())
		}
		if got := (is{e.IsZero(), e.IsUnix(), e.IsBlank(), e.Listens(), e.IsLoopback()}); got != test.is {
			t.Errorf("%q is %+v, want %+v", test.text, got, test.is)
		}
		if e.IsZero() {
			continue
		}
		if got, err := refs.ParseEndpoint(test.text); err != nil || got != e {
			t.Errorf("%q is read as %#v, %v", test.text, got, err)
		}
		if e.IsUnix() {
			if got, err := refs.ParseEndpoint(e.Host); err != nil || got != e {
				t.Errorf("%q is read as %#v, %v", e.Host, got, err)
			}
		}
	}
}

func TestParseEndpointRefuses(t *testing.T) {
	for s, want := range map[string]string{
		"": "no port", "bank": "no port", ":": "no port from", "bank:": "no port from", "bank:x": "no port from",
		"bank:-1": "no port from", "bank:+1": "no port from", "bank:01": "no port from", "bank:65536": "no port from", "bank:7000 ": "no port from",
		"bank:٣": "no port from", "::1": "without brackets", "::1:7000": "without brackets", "[::1]": "no port from", "[bank]:1": "brackets", "[]:1": "brackets",
		"[::1:1": "brackets", "[[::1]]:1": "IPv6", "[::1]x:1": "brackets", "a b:1": "illegal", "a\n:1": "illegal", "user@bank:1": "illegal",
		"http://bank:80": "without brackets", "tcp:bank:80": "without brackets", "unix:": "no port from", "unix:x": "no port from",
		"udp:": "no port from", "udp:x": "no port from", "udp:x:y": "no port from", "udp::1:1": "without brackets", "udp:unix:/x": "before more than host",
		"udp:udp:x:1": "before more than host", "udp:@x:1": "before more than host",
		"unix:/": "names no", "/run/../x": "shortest", "unix:@": "names no", "/" + strings.Repeat("x", 200): "more than 107",
		strings.Repeat("a", 1<<20) + ":1": "too long",
	} {
		if e, err := refs.ParseEndpoint(s); err == nil {
			t.Errorf("%.80q is read as %#v", s, e)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: %v; want %q in it", s, err, want)
		}
	}
	// A prefix, not a scheme: a host may be called unix.
	if e, err := refs.ParseEndpoint("unix:7000"); err != nil || e != (refs.Endpoint{Host: "unix", Port: 7000}) {
		t.Errorf("unix:7000 is read as %#v, %v", e, err)
	}
}
