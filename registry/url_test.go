package registry_test

import (
	"strings"
	"testing"

	"gormi/refs"
	"gormi/registry"
	"gormi/rmi"
)

func TestURLs(t *testing.T) {
	at := func(host string, port uint16) refs.Endpoint { return refs.Endpoint{Host: host, Port: port} }
	udp := func(host string, port uint16) refs.Endpoint { return refs.Endpoint{Host: host, Port: port, UDP: true} }
	for _, c := range []struct {
		env, url string
		endpoint refs.Endpoint
		name     string
	}{
		{"", "bank/alice", at("localhost", 1099), "bank/alice"},
		{"", "", at("localhost", 1099), ""},
		{"rmi://example:7", "bank/alice", at("example", 7), "bank/alice"},
		{"rmi://example", "bank/alice", at("example", 1099), "bank/alice"},
		{"rmi://example/", "bank/alice", at("example", 1099), "bank/alice"},
		{"nonsense", "rmi://host/bank", at("host", 1099), "bank"}, // not asked for
		{"rmi://example:7", "rmi://host/bank", at("host", 1099), "bank"},
		{"", "rmi://host/bank/alice", at("host", 1099), "bank/alice"},
		{"", "RMI://host/bank", at("host", 1099), "bank"},
		{"", "rmi://host:7000/bank/alice", at("host", 7000), "bank/alice"},
		{"", "rmi://host:7000", at("host", 7000), ""},
		{"", "rmi://host:7000/", at("host", 7000), ""},
		{"", "rmi://my_host.example/x", at("my_host.example", 1099), "x"},
		{"", "rmi://127.0.0.1:1/x", at("127.0.0.1", 1), "x"},
		{"", "rmi://[::1]:1099/name", at("::1", 1099), "name"},
		{"", "rmi://[::1]/name", at("::1", 1099), "name"},
		{"", "rmi://[fe80::1%25eth0]:1/name", at("fe80::1%eth0", 1), "name"},
		{"", "rmi://%2Frun%2Frmi.sock/name", at("/run/rmi.sock", 0), "name"},
		{"", "rmi://%2frun%2fa%20b.sock/name", at("/run/a b.sock", 0), "name"},
		{"", "rmi://%40rmi/bank/alice", at("@rmi", 0), "bank/alice"},
		{"", "rmi://%2Frun%2Frmi.sock", at("/run/rmi.sock", 0), ""},
		{"", "rmi+udp://host:7000/bank/alice", udp("host", 7000), "bank/alice"},
		{"", "RMI+UDP://host/bank", udp("host", 1099), "bank"},
		{"", "rmi+udp://[fe80::1%25eth0]:1", udp("fe80::1%eth0", 1), ""},
		{"rmi+udp://example", "bank/alice", udp("example", 1099), "bank/alice"},
	} {
		t.Setenv(registry.Env, c.env)
		u, err := registry.ParseURL(c.url)
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		if want := (registry.URL{Endpoint: c.endpoint, Name: c.name}); u != want {
			t.Errorf("%s: got %+v, want %+v", c.url, u, want)
		}
		if again, err := registry.ParseURL(u.String()); again != u || err != nil {
			t.Errorf("%s: String gives %s, which is read back as %+v, %v", c.url, u, again, err)
		}
	}
}

func TestURLsThatCannotBeRead(t *testing.T) {
	for _, c := range []struct{ env, url, why string }{
		{"", "http://host/x", "begins with rmi://"},
		{"", "rmi+ref://host/x", "begins with rmi://"},
		{"", "rmi://udp:host:1/x", "rmi+udp://"},
		{"", "rmi+udp://udp:host:1/x", "rmi+udp://"},
		{"", "rmi+udp://%2Frun%2Fx/x", "no datagrams"},
		{"", "rmi:///x", "host is missing"},
		{"", "rmi://:1099/x", "host is missing"},
		{"", "rmi://", "host is missing"},
		{"", "rmi://host:0/x", "port 0"},
		{"", "rmi://host:/x", "port"},
		{"", "rmi://host:99999/x", "port"},
		{"", "rmi://host:rmi/x", "port"},
		{"", "rmi://user@host/x", "host"},
		{"", "rmi://::1/x", "brackets"},
		{"", "rmi://[::1/x", "brackets"},
		{"", "rmi://[fe80::1%eth0]/x", "%et"},
		{"", "rmi://ho st/x", "illegal character"},
		{"", "rmi://%2Frun%2F..%2Fx/name", "shortest"},
		{"", "rmi://host//x", "rule 2"},
		{"", "rmi://host/x/", "rule 2"},
		{"", "rmi://host/x?y=z", "rule 4"},
		{"", "localhost:1099/x", "lacks its rmi://"},
		{"", "//host/name", "lacks its rmi:? It is rmi://HOST:PORT/NAME"},
		{"", "rmi:name", "lacks its //? It is rmi://HOST:PORT/NAME"},
		{"", "RMI:/host/name", "lacks its //? It is rmi://HOST:PORT/NAME"},
		{"localhost:1099", "x", registry.Env},
		{"rmi://host/name", "x", registry.Env},
		{"rmi://host:0", "x", registry.Env},
	} {
		t.Setenv(registry.Env, c.env)
		u, err := registry.ParseURL(c.url)
		if rmi.KindOf(err) != rmi.KindInvalid || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%q with %q: got %+v, %v, want an error about %q", c.url, c.env, u, err, c.why)
		}
	}
}

func FuzzURL(f *testing.F) {
	for _, s := range []string{"bank/alice", "rmi://host:1/x", "rmi://[fe80::1%25e]:1/x", "rmi://%2Frun%2Fx/y", "rmi://%40a%20b", "rmi://%", "://"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := registry.ParseURL(s)
		if err != nil {
			return
		}
		if again, err := registry.ParseURL(u.String()); again != u || err != nil {
			t.Fatalf("%q is %+v, whose String %q is read back as %+v, %v", s, u, u, again, err)
		}
	})
}
