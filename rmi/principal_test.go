package rmi_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"gormi/rmi"
	"gormi/rmi/tlsfiles"
)

// certified returns the TLS configurations of the roles of one authority.
func certified(t *testing.T) func(role string) *tls.Config {
	t.Helper()
	dir := t.TempDir()
	if err := tlsfiles.Make(dir); err != nil {
		t.Fatal(err)
	}
	return func(role string) *tls.Config {
		c, err := tlsfiles.Load(tlsfiles.Files{Cert: filepath.Join(dir, role+".pem"), Key: filepath.Join(dir, role+"-key.pem"), CA: filepath.Join(dir, tlsfiles.AuthorityFile)})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

// met is what both ends of a call see of each other: who called the method, and who called
// the function that was passed to it.
func met(t *testing.T, owner, caller *rmi.Node) (called, back rmi.PeerInfo, err error) {
	t.Helper()
	there, here := make(chan rmi.PeerInfo, 1), make(chan rmi.PeerInfo, 1)
	w := hire(t, owner, caller, &worker{apply: func(ctx context.Context, f Func, n int64) (int64, error) {
		p, ok := rmi.PeerFrom(ctx)
		if !ok {
			return 0, errors.New("nobody called")
		}
		there <- p
		return f(ctx, n)
	}})
	_, err = w.Apply(within(t), func(ctx context.Context, n int64) (int64, error) {
		p, ok := rmi.PeerFrom(ctx)
		if !ok {
			return 0, errors.New("nobody called back")
		}
		here <- p
		return n, nil
	}, 1)
	if err != nil {
		return called, back, err
	}
	called, back = <-there, <-here
	if called.Node != caller.ID() || back.Node != owner.ID() {
		t.Errorf("called by node %v and %v, want %v and %v", called.Node, back.Node, caller.ID(), owner.ID())
	}
	return called, back, nil
}

func TestAMethodKnowsWhoCalls(t *testing.T) {
	role := certified(t)
	open := role("server").Clone()
	open.GetConfigForClient = nil // asks nobody for a certificate
	mine := fmt.Sprintf("uid:%d", os.Getuid())
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		mine = "anonymous"
	}
	for _, c := range []struct {
		name         string
		at           string
		owner        *tls.Config
		caller       *tls.Config
		called, back string
	}{
		{"TLS of both", "localhost:0", role("server"), role("client"), "spiffe://gormi/client", "spiffe://gormi/server"},
		{"TLS of the owner", "localhost:0", open, role("client"), "anonymous", "spiffe://gormi/server"},
		{"in the clear", "localhost:0", nil, nil, "anonymous", "anonymous"},
		{"datagrams", "udp:localhost:0", nil, nil, "anonymous", "anonymous"},
		{"a unix socket", filepath.Join(t.TempDir(), "s"), nil, nil, mine, mine},
	} {
		t.Run(c.name, func(t *testing.T) {
			owner, caller := listening(t, c.at, &rmi.Options{TLS: c.owner}), client(t, &rmi.Options{TLS: c.caller})
			called, back, err := met(t, owner, caller)
			if err != nil || called.Principal != c.called || back.Principal != c.back {
				t.Errorf("called by %q and called back by %q, %v; want %q and %q", called.Principal, back.Principal, err, c.called, c.back)
			}
			if !called.Local || !back.Local {
				t.Error("a peer on this machine is not local")
			}
			if host, _, err := net.SplitHostPort(called.Address); !filepath.IsAbs(c.at) && (err != nil || !net.ParseIP(host).IsLoopback()) {
				t.Errorf("called from %q", called.Address)
			}
			if _, port, err := net.SplitHostPort(back.Address); !filepath.IsAbs(c.at) && (err != nil || port != fmt.Sprint(owner.Endpoint().Port)) {
				t.Errorf("called back from %q, want port %d", back.Address, owner.Endpoint().Port)
			}
		})
	}
	if _, ok := rmi.PeerFrom(t.Context()); ok {
		t.Error("a context of no call has a peer")
	}
}

func TestANodeMayRefuseWhomItDoesNotKnow(t *testing.T) {
	role := certified(t)
	open := role("server").Clone()
	open.GetConfigForClient = nil
	for _, c := range []struct {
		name          string
		owner, caller *rmi.Options
		ok            bool
	}{
		{"both are known", &rmi.Options{TLS: role("server"), RequirePrincipal: true}, &rmi.Options{TLS: role("client"), RequirePrincipal: true}, true},
		{"the owner is known", &rmi.Options{TLS: open}, &rmi.Options{TLS: role("client"), RequirePrincipal: true}, true},
		{"the caller is not", &rmi.Options{TLS: open, RequirePrincipal: true}, &rmi.Options{TLS: role("client")}, false},
		{"the caller is not, in the clear", &rmi.Options{RequirePrincipal: true}, nil, false},
		{"the owner is not", nil, &rmi.Options{RequirePrincipal: true}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := met(t, listening(t, "localhost:0", c.owner), client(t, c.caller))
			switch {
			case c.ok && err != nil:
				t.Error(err)
			case !c.ok && (rmi.KindOf(err) != rmi.KindDenied || rmi.OutcomeOf(err) != rmi.OutcomeNotExecuted || !strings.Contains(err.Error(), "Options.RequirePrincipal")):
				t.Errorf("%v, want it denied, with the option's name", err)
			}
		})
	}
}

// A session is its principal's: whoever takes the key of one of its nodes may not go on with
// it as somebody else.
func TestASessionKeepsItsPrincipal(t *testing.T) {
	role := certified(t)
	f := forwarder(t)
	var as [2]atomic.Pointer[tls.Config] // who the owner and the caller are
	as[0].Store(role("server"))
	as[1].Store(role("client"))
	owners, callers := role("server"), role("client")
	owners.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) { return as[0].Load().GetConfigForClient(h) }
	callers.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return as[1].Load().GetClientCertificate(r)
	}
	owner, caller := client(t, &rmi.Options{Advertise: f.Addr(), TLS: owners}), client(t, &rmi.Options{TLS: callers})
	at, err := owner.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.To(at.String())
	ask := hire(t, owner, caller, &worker{visit: func(ctx context.Context, v Visit) (Visit, error) {
		p, _ := rmi.PeerFrom(ctx)
		v.Name = p.Principal
		if _, err := v.Tell(ctx, 0); err != nil {
			return v, err
		}
		return v, nil
	}})
	who := func() (caller, owner string) {
		t.Helper()
		for {
			v, err := ask.Visit(within(t), Visit{Tell: func(ctx context.Context, n int64) (int64, error) {
				p, _ := rmi.PeerFrom(ctx)
				owner = p.Principal
				return n, nil
			}})
			if err != nil && rmi.OutcomeOf(err) != rmi.OutcomeUnknown { // it is if the call was sent before the session ended
				t.Fatal(err)
			}
			if err == nil {
				return v.Name, owner
			}
		}
	}
	for i, step := range []struct {
		change        func()
		caller, owner string
		resumes       int64
	}{
		{func() {}, "client", "server", 0},
		{f.Cut, "client", "server", 1},
		{func() { as[1].Store(role("registry")); f.Cut() }, "registry", "server", 1},
		{func() { as[0].Store(role("registry")); f.Cut() }, "registry", "registry", 1},
		{f.Cut, "registry", "registry", 2},
	} {
		step.change()
		if c, o := who(); c != "spiffe://gormi/"+step.caller || o != "spiffe://gormi/"+step.owner || caller.Stats().Resumes != step.resumes {
			t.Fatalf("step %d: %s calls %s after %d resumes; want %+v", i, c, o, caller.Stats().Resumes, step)
		}
	}
}
