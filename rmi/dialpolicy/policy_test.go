package dialpolicy_test

import (
	"errors"
	"net/netip"
	"testing"

	"gormi/refs"
	"gormi/rmi/dialpolicy"
	"gormi/rmi/fault"
)

func rules(t *testing.T, p dialpolicy.Policy) *dialpolicy.Rules {
	t.Helper()
	r, err := p.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// ask asks about an endpoint, and if at is not blank, about an address that its name led to.
func ask(t *testing.T, r *dialpolicy.Rules, endpoint, at string, from refs.Origin) error {
	t.Helper()
	ep, err := refs.ParseEndpoint(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Asked(ep, from); err != nil || at == "" {
		return err
	}
	return r.Resolved(ep, netip.MustParseAddr(at), from)
}

func TestDefault(t *testing.T) {
	r := rules(t, dialpolicy.Policy{})
	const near, far, beside, own = refs.OriginPeer, refs.OriginRemote, refs.OriginBeside, refs.OriginProgram
	for _, test := range []struct {
		endpoint, at string
		denied       []refs.Origin // of all four
	}{
		{"bank.example:7000", "93.184.216.34", nil},
		{"bank.example:7000", "10.1.2.3", nil},
		{"bank.example:7000", "fc00::1", nil},
		{"192.168.1.1:22", "", nil},
		{"udp:10.0.0.1:7000", "", nil},
		{"127.0.0.1:7000", "", []refs.Origin{far}},
		{"127.8.9.1:7000", "", []refs.Origin{far}},
		{"[::1]:7000", "", []refs.Origin{far}},
		{"[::ffff:127.0.0.1]:7000", "", []refs.Origin{far}},
		{"[64:ff9b::7f00:1]:7000", "", []refs.Origin{far}},
		{"localhost:7000", "", []refs.Origin{far}},
		{"LOCALHOST.:7000", "", []refs.Origin{far}},
		{"udp:localhost:7000", "", []refs.Origin{far}},
		{"bank.example:7000", "127.0.0.1", []refs.Origin{far}},
		{"unix:/run/db.sock", "", []refs.Origin{far}},
		{"unix:@db", "", []refs.Origin{far}},
		{"169.254.169.254:80", "", []refs.Origin{near, far}},
		{"metadata.example:80", "169.254.169.254", []refs.Origin{near, far}},
		{"[fd00:ec2::254]:80", "", []refs.Origin{near, far}},
		{"[fd20:ce::254]:80", "", []refs.Origin{near, far}},
		{"[64:ff9b::a9fe:a9fe]:80", "", []refs.Origin{near, far}},
		{"[2002:a9fe:a9fe::1]:80", "", []refs.Origin{near, far}},
		{"100.100.100.200:80", "", []refs.Origin{near, far}},
		{"168.63.129.16:80", "", []refs.Origin{near, far}},
		{"169.254.1.1:7000", "", []refs.Origin{near, far}},
		{"[fe80::1%eth0]:7000", "", []refs.Origin{near, far}},
		{"224.0.0.1:7000", "", []refs.Origin{near, far}},
		{"udp:239.1.2.3:7000", "", []refs.Origin{near, far}},
		{"[ff02::1]:7000", "", []refs.Origin{near, far}},
		{"0.0.0.0:7000", "", []refs.Origin{near, far}},
		{"0.1.2.3:7000", "", []refs.Origin{near, far}},
		{"[::]:7000", "", []refs.Origin{near, far}},
		{"bank.example:7000", "0.0.0.0", []refs.Origin{near, far}},
		{"255.255.255.255:7000", "", []refs.Origin{near, far}},
	} {
		denied := make(map[refs.Origin]bool)
		for _, from := range test.denied {
			denied[from] = true
		}
		for _, from := range []refs.Origin{near, far, beside, own} {
			err := ask(t, r, test.endpoint, test.at, from)
			if denied[from] != (err != nil) {
				t.Errorf("%s (%s) from the %v: %v, want denied %v", test.endpoint, test.at, from, err, denied[from])
			}
			if err != nil && (!errors.Is(err, fault.KindDenied) || fault.OutcomeOf(err) != fault.OutcomeNotExecuted) {
				t.Errorf("%s: kind and outcome of %v", test.endpoint, err)
			}
		}
	}
}

func TestRules(t *testing.T) {
	for _, test := range []struct {
		policy       dialpolicy.Policy
		endpoint, at string
		allowed      bool
	}{
		{dialpolicy.Policy{Deny: []string{"10.0.0.0/8"}}, "bank.example:1", "10.1.1.1", false},
		{dialpolicy.Policy{Deny: []string{"10.0.0.0/8"}}, "bank.example:1", "11.1.1.1", true},
		{dialpolicy.Policy{Deny: []string{"private"}}, "172.16.0.1:1", "", false},
		{dialpolicy.Policy{Deny: []string{"*.corp.example"}}, "db.corp.example:1", "", false},
		{dialpolicy.Policy{Deny: []string{"*.corp.example"}}, "DB.Corp.Example.:1", "", false},
		{dialpolicy.Policy{Deny: []string{"*.corp.example"}}, "corp.example:1", "8.8.8.8", true},
		{dialpolicy.Policy{Deny: []string{"udp:*"}}, "udp:8.8.8.8:1", "", false},
		{dialpolicy.Policy{Deny: []string{"udp:*"}}, "8.8.8.8:1", "", true},
		{dialpolicy.Policy{Deny: []string{"*:1-1023"}}, "bank.example:22", "", false},
		{dialpolicy.Policy{Deny: []string{"*:1-1023"}}, "bank.example:7000", "8.8.8.8", true},
		{dialpolicy.Policy{Deny: []string{"[2001:db8::]/32:22"}}, "[2001:db8::5]:22", "", false},
		{dialpolicy.Policy{Deny: []string{"[2001:db8::]/32:22"}}, "[2001:db8::5]:23", "", true},
		{dialpolicy.Policy{Deny: []string{"2001:db8::5"}}, "[2001:db8::5]:23", "", false},
		{dialpolicy.Policy{Allow: []string{"loopback"}}, "localhost:1", "127.0.0.1", true},
		{dialpolicy.Policy{Allow: []string{"localhost:7000"}}, "127.0.0.1:7000", "", true},
		{dialpolicy.Policy{Allow: []string{"localhost:7000"}}, "127.0.0.1:7001", "", false},
		{dialpolicy.Policy{Allow: []string{"loopback"}, Deny: []string{"127.0.0.1:22"}}, "127.0.0.1:22", "", false},
		{dialpolicy.Policy{Allow: []string{"169.254.169.254:80"}}, "169.254.169.254:80", "", true},
		{dialpolicy.Policy{Allow: []string{"unix:/run/app/*"}}, "unix:/run/app/a.sock", "", true},
		{dialpolicy.Policy{Allow: []string{"unix:/run/app/*"}}, "unix:/run/db/a.sock", "", false},
		{dialpolicy.Policy{Allow: []string{"unix:*"}}, "unix:/run/db/a.sock", "", true},
		{dialpolicy.Policy{Allow: []string{"*"}}, "unix:/run/db/a.sock", "", false},
		{dialpolicy.Policy{Allow: []string{"bank.example"}}, "bank.example:1", "127.0.0.1", false}, // by name only
		{dialpolicy.Policy{Allow: []string{"bank.example"}, Only: true}, "bank.example:1", "10.0.0.1", true},
		{dialpolicy.Policy{Allow: []string{"bank.example"}, Only: true}, "evil.example:1", "10.0.0.1", false},
		{dialpolicy.Policy{Allow: []string{"10.0.0.0/8"}, Only: true}, "any.example:1", "10.0.0.1", true},
		{dialpolicy.Policy{Only: true}, "8.8.8.8:1", "", false},
		{dialpolicy.Policy{Only: true}, "unix:/x", "", false},
	} {
		err := ask(t, rules(t, test.policy), test.endpoint, test.at, refs.OriginRemote)
		if (err == nil) != test.allowed {
			t.Errorf("%+v about %s (%s): %v, want allowed %v", test.policy, test.endpoint, test.at, err, test.allowed)
		}
	}
}

func TestTheProgramsOwnChoices(t *testing.T) {
	deny := dialpolicy.Policy{Deny: []string{"10.0.0.1"}}
	if err := ask(t, rules(t, deny), "10.0.0.1:1", "", refs.OriginProgram); err != nil {
		t.Error(err)
	}
	deny.Own = true
	r := rules(t, deny)
	if ask(t, r, "10.0.0.1:1", "", refs.OriginProgram) == nil {
		t.Error("Own has no effect")
	}
	for _, at := range []string{"127.0.0.1:1", "169.254.169.254:1", "unix:/x"} {
		if err := ask(t, r, at, "", refs.OriginProgram); err != nil {
			t.Error(err)
		}
	}
}

// A malformed rule denies what it was asked about rather than to be left out.
func TestMalformedRules(t *testing.T) {
	for _, s := range []string{"", "10.0.0.0/33", "x:70000", "x:9-8", "a b", "unix:", "unix:[", "*.", "tcp:/x", "256.1.1.1"} {
		r, err := dialpolicy.Policy{Deny: []string{s}}.Compile()
		if !errors.Is(err, fault.KindInvalid) {
			t.Errorf("%q: %v", s, err)
			continue
		}
		if ask(t, r, "8.8.8.8:1", "", refs.OriginPeer) == nil || ask(t, r, "8.8.8.8:1", "", refs.OriginProgram) != nil {
			t.Errorf("%q: what is asked then", s)
		}
	}
}
