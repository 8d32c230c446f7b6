package refs_test

import (
	"gormi/refs"
	"testing"
)

const (
	secret    = refs.ObjNum(0x9f3c5d7e11aa22bb)
	nodeText  = "6ba7b810-9dad-81d1-80b4-00c04fd430c8"
	relayText = "1b4e28ba-2fa1-81d2-883f-0016d3cca427"
	printText = "00112233445566778899aabbccddeeff"
)

func node(t testing.TB, s string) refs.NodeID {
	t.Helper()
	n, err := refs.ParseNodeID(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// sample is a reference with every field set but Via and Completed.
func sample(t testing.TB) refs.Ref {
	t.Helper()
	f, err := refs.ParseFingerprint(printText)
	if err != nil {
		t.Fatal(err)
	}
	return refs.Ref{
		Endpoint:  refs.Endpoint{Host: "bank.example", Port: 7000},
		ID:        refs.ID{Node: node(t, nodeText), Time: 1700000000000000000, Object: secret},
		Interface: refs.Interface{Name: "bank.Account", Fingerprint: f},
	}
}

// changed is sample with a change.
func changed(t testing.TB, change func(r *refs.Ref)) refs.Ref {
	t.Helper()
	r := sample(t)
	change(&r)
	return r
}

// legal are references of every shape, by their text form without scheme.
func legal(t testing.TB) map[string]refs.Ref {
	const tail = "/" + nodeText + "/1700000000000000000/9f3c5d7e11aa22bb/bank.Account/" + printText
	at := func(host string, port uint16) refs.Ref {
		return changed(t, func(r *refs.Ref) { r.Endpoint = refs.Endpoint{Host: host, Port: port} })
	}
	udp := func(r refs.Ref) refs.Ref { r.UDP = true; return r }
	named := func(name string) refs.Ref {
		return changed(t, func(r *refs.Ref) { r.Interface.Name = name })
	}
	const stem = "bank.example:7000/" + nodeText + "/1700000000000000000/9f3c5d7e11aa22bb/"
	via := func(host string, port uint16, completed bool) refs.Via {
		return refs.Via{Node: node(t, relayText), Endpoint: refs.Endpoint{Host: host, Port: port}, Completed: completed}
	}
	return map[string]refs.Ref{
		"/-/0/0000000000000000//-": {},
		"localhost:1099/-/0/0000000000000001/registry.Registry/-": {
			Endpoint: refs.Endpoint{Host: "localhost", Port: 1099}, ID: refs.ID{Object: refs.RegistryObject},
			Interface: refs.Interface{Name: "registry.Registry"},
		},
		"bank.example:7000" + tail:          sample(t),
		tail:                                at("", 0),
		":7000" + tail:                      at("", 7000),
		"127.0.0.1:1" + tail:                at("127.0.0.1", 1),
		"my_host.local_net:65535" + tail:    at("my_host.local_net", 65535),
		"_srv._tcp.x:7000" + tail:           at("_srv._tcp.x", 7000),
		"example.com.:7000" + tail:          at("example.com.", 7000),
		"[::1]:7000" + tail:                 at("::1", 7000),
		"[::ffff:1.2.3.4]:7000" + tail:      at("::ffff:1.2.3.4", 7000),
		"[fe80::1%25eth0]:7000" + tail:      at("fe80::1%eth0", 7000),
		"[fe80::1%25en_0.1-a~]:7000" + tail: at("fe80::1%en_0.1-a~", 7000),
		"[fe80::1%2525]:7000" + tail:        at("fe80::1%25", 7000),
		"udp:sensor.example:7000" + tail:    udp(at("sensor.example", 7000)),
		"udp::7000" + tail:                  udp(at("", 7000)),
		"udp:[fe80::1%25eth0]:7000" + tail:  udp(at("fe80::1%eth0", 7000)),
		"udp:udp:7000" + tail:               udp(at("udp", 7000)),
		"udp:7000" + tail:                   at("udp", 7000),
		"udp:127.0.0.1:1" + tail + "?completed&via=" + relayText + "@udp:hub.example:7001": changed(t, func(r *refs.Ref) {
			r.Endpoint, r.Completed, r.Via = refs.Endpoint{Host: "127.0.0.1", Port: 1, UDP: true}, true, via("hub.example", 7001, false)
			r.Via.UDP = true
		}),
		"%2Frun%2Fx.sock" + tail:                     at("/run/x.sock", 0),
		"%2Frun%2F%C3%A9%20%3A1%25" + tail:           at("/run/é :1%", 0),
		"%40gormi" + tail:                            at("@gormi", 0),
		stem + "/" + printText:                       named(""),
		stem + "-/" + printText:                      named("-"),
		stem + "func(int64)%20(string)/" + printText: named("func(int64) (string)"),
		stem + "a%2Fb%3F%26%23%25/" + printText:      named("a/b?&#%"),
		stem + "%E9%93%B6%E8%A1%8C/" + printText:     named("银行"),
		stem + "bank.Account/-":                      changed(t, func(r *refs.Ref) { r.Interface.Fingerprint = refs.Fingerprint{} }),
		"bank.example:7000/" + nodeText + "/-5/ffffffffffffffff//-": changed(t, func(r *refs.Ref) {
			r.Time, r.Object, r.Interface = -5, 1<<64-1, refs.Interface{}
		}),
		"localhost:7000" + tail + "?completed":                         changed(t, func(r *refs.Ref) { r.Host, r.Completed = "localhost", true }),
		tail + "?via=" + relayText + "@hub.example:7001":               changed(t, func(r *refs.Ref) { r.Endpoint, r.Via = refs.Endpoint{}, via("hub.example", 7001, false) }),
		"bank.example:7000" + tail + "?via=" + relayText + "@":         changed(t, func(r *refs.Ref) { r.Via = via("", 0, false) }),
		"bank.example:7000" + tail + "?via=" + relayText + "@:7001":    changed(t, func(r *refs.Ref) { r.Via = via("", 7001, false) }),
		"bank.example:7000" + tail + "?via=" + relayText + "@%40relay": changed(t, func(r *refs.Ref) { r.Via = via("@relay", 0, false) }),
		"bank.example:7000" + tail + "?via=" + relayText + "@[::1]:7001&via-completed": changed(t, func(r *refs.Ref) {
			r.Via = via("::1", 7001, true)
		}),
		"[::1]:7000" + tail + "?completed&via=" + relayText + "@127.0.0.2:7001&via-completed": changed(t, func(r *refs.Ref) {
			r.Host, r.Completed, r.Via = "::1", true, via("127.0.0.2", 7001, true)
		}),
	}
}
