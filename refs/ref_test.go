package refs_test

import (
	"crypto/ed25519"
	"testing"

	"gormi/refs"
)

func TestNodeIDsAreVersion8UUIDsOfTheKey(t *testing.T) {
	a := refs.NodeIDFromKey(make(ed25519.PublicKey, ed25519.PublicKeySize))
	// SHA-256 of 32 zero bytes starts 66687aadf862bd776c8fc18b8e9f8e20.
	if want := "66687aad-f862-8d77-ac8f-c18b8e9f8e20"; a.String() != want {
		t.Errorf("the id is %v, want %s", a, want)
	}
	if a.Short() != "66687aad" || (refs.NodeID{}).Short() != "-" {
		t.Errorf("short forms are %q and %q", a.Short(), refs.NodeID{}.Short())
	}
	for _, s := range []string{"", "-", "66687AAD-F862-8D77-AC8F-C18B8E9F8E20", "{66687aad-f862-8d77-ac8f-c18b8e9f8e20}",
		"66687aadf8628d77ac8fc18b8e9f8e20", "urn:uuid:66687aad-f862-8d77-ac8f-c18b8e9f8e20", "66687aad-f862-8d77-ac8f-c18b8e9f8e2x"} {
		if n, err := refs.ParseNodeID(s); err == nil {
			t.Errorf("%q is read as %v", s, n)
		}
	}
}

func TestNewObjNumsAreNotReserved(t *testing.T) {
	seen := map[refs.ObjNum]bool{}
	for range 1000 {
		n := refs.NewObjNum()
		if n < refs.ReservedObjects || seen[n] {
			t.Fatalf("got %s again or reserved", n.Hex())
		}
		seen[n] = true
	}
}

func TestIdentityOfTheRegistryOutlivesRestarts(t *testing.T) {
	if id := (refs.ID{Object: refs.RegistryObject}); !id.IsWellKnown() {
		t.Error("the registry's id is not well known")
	}
	if id := sample(t).ID; id.IsWellKnown() {
		t.Error("an object's id is well known")
	}
	if !(refs.Ref{}).IsZero() || sample(t).IsZero() {
		t.Error("IsZero is wrong")
	}
}

func at(host string, port uint16) refs.Endpoint { return refs.Endpoint{Host: host, Port: port} }

func TestCompletion(t *testing.T) {
	relay := node(t, relayText)
	for _, test := range []struct {
		name     string
		in       refs.Ref
		peer     string
		kept     refs.Ref
		outgoing refs.Ref
	}{
		{"a host that was given stays",
			refs.Ref{Endpoint: at("bank", 1)}, "10.0.0.1",
			refs.Ref{Endpoint: at("bank", 1)}, refs.Ref{Endpoint: at("bank", 1)}},
		{"a loopback host that was given stays and is sent on",
			refs.Ref{Endpoint: at("127.0.0.1", 1)}, "10.0.0.1",
			refs.Ref{Endpoint: at("127.0.0.1", 1)}, refs.Ref{Endpoint: at("127.0.0.1", 1)}},
		{"a blank host becomes the sender's and is sent on",
			refs.Ref{Endpoint: at("", 1)}, "10.0.0.1",
			refs.Ref{Endpoint: at("10.0.0.1", 1)}, refs.Ref{Endpoint: at("10.0.0.1", 1)}},
		{"a loopback completion is sent on blank",
			refs.Ref{Endpoint: at("", 1)}, "127.0.0.1",
			refs.Ref{Endpoint: at("127.0.0.1", 1), Completed: true}, refs.Ref{Endpoint: at("", 1)}},
		{"likewise over IPv6",
			refs.Ref{Endpoint: at("", 1)}, "::1",
			refs.Ref{Endpoint: at("::1", 1), Completed: true}, refs.Ref{Endpoint: at("", 1)}},
		{"a zone goes with its address",
			refs.Ref{Endpoint: at("", 1)}, "fe80::1%eth0",
			refs.Ref{Endpoint: at("fe80::1%eth0", 1)}, refs.Ref{Endpoint: at("fe80::1%eth0", 1)}},
		{"over a unix socket the sender is on this machine",
			refs.Ref{Endpoint: at("", 1)}, "/run/x.sock",
			refs.Ref{Endpoint: at("localhost", 1), Completed: true}, refs.Ref{Endpoint: at("", 1)}},
		{"even when that has no name",
			refs.Ref{Endpoint: at("", 1)}, "@",
			refs.Ref{Endpoint: at("localhost", 1), Completed: true}, refs.Ref{Endpoint: at("", 1)}},
		{"an owner that does not listen gets no host",
			refs.Ref{}, "10.0.0.1", refs.Ref{}, refs.Ref{}},
		{"an unknown sender leaves it blank",
			refs.Ref{Endpoint: at("", 1)}, "", refs.Ref{Endpoint: at("", 1)}, refs.Ref{Endpoint: at("", 1)}},
		{"the relay's host is completed by itself",
			refs.Ref{Endpoint: at("bank", 1), Via: refs.Via{Node: relay, Endpoint: at("", 2)}}, "127.0.0.1",
			refs.Ref{Endpoint: at("bank", 1), Via: refs.Via{Node: relay, Endpoint: at("127.0.0.1", 2), Completed: true}},
			refs.Ref{Endpoint: at("bank", 1), Via: refs.Via{Node: relay, Endpoint: at("", 2)}}},
		{"another's loopback completion is not ours",
			refs.Ref{Endpoint: at("127.0.0.1", 1), Completed: true, Via: refs.Via{Node: relay, Endpoint: at("::1", 2), Completed: true}}, "10.0.0.1",
			refs.Ref{Endpoint: at("10.0.0.1", 1), Via: refs.Via{Node: relay, Endpoint: at("10.0.0.1", 2)}},
			refs.Ref{Endpoint: at("10.0.0.1", 1), Via: refs.Via{Node: relay, Endpoint: at("10.0.0.1", 2)}}},
	} {
		kept := test.in.Complete(test.peer)
		if kept != test.kept {
			t.Errorf("%s: kept as %+v", test.name, kept)
		}
		if got := kept.Outgoing(); got != test.outgoing {
			t.Errorf("%s: sent on as %+v", test.name, got)
		}
		if got := kept.Complete(test.peer); got != kept {
			t.Errorf("%s: completing twice makes it %+v", test.name, got)
		}
	}
}

func TestOnlyLoopback(t *testing.T) {
	relay := node(t, relayText)
	via := func(e refs.Endpoint) refs.Via { return refs.Via{Node: relay, Endpoint: e} }
	for _, test := range []struct {
		name string
		ref  refs.Ref
		want bool
	}{
		{"nobody listens", refs.Ref{}, false},
		{"blank", refs.Ref{Endpoint: at("", 1)}, false},
		{"a name", refs.Ref{Endpoint: at("bank", 1)}, false},
		{"localhost", refs.Ref{Endpoint: at("localhost", 1)}, true},
		{"loopback address", refs.Ref{Endpoint: at("127.3.2.1", 1)}, true},
		{"loopback address, IPv6", refs.Ref{Endpoint: at("::1", 1)}, true},
		{"unspecified", refs.Ref{Endpoint: at("0.0.0.0", 1)}, true},
		{"unspecified, IPv6 with zone", refs.Ref{Endpoint: at("::%eth0", 1)}, true},
		{"unix socket", refs.Ref{Endpoint: at("/x", 0)}, true},
		{"abstract unix socket", refs.Ref{Endpoint: at("@x", 0)}, true},
		{"completed", refs.Ref{Endpoint: at("127.0.0.1", 1), Completed: true}, false},
		{"relay only", refs.Ref{Via: via(at("hub", 1))}, false},
		{"relay on loopback only", refs.Ref{Via: via(at("localhost", 1))}, true},
		{"relay that does not listen", refs.Ref{Via: via(at("", 0))}, false},
		{"owner on loopback, relay open", refs.Ref{Endpoint: at("::1", 1), Via: via(at("", 1))}, false},
		{"owner on loopback, relay completed", refs.Ref{Endpoint: at("::1", 1), Via: refs.Via{Node: relay, Endpoint: at("::1", 1), Completed: true}}, false},
		{"both on loopback", refs.Ref{Endpoint: at("::1", 1), Via: via(at("/x", 0))}, true},
	} {
		if got := test.ref.OnlyLoopback(); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}
