package transport

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// certificate returns the two sides of a TLS configuration with a certificate for 127.0.0.1.
func certificate(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}}}
}

func TestTLS(t *testing.T) {
	cfg := certificate(t)
	withTLS := func(c *Config) { c.TLS = cfg }
	a, b := newNode(t, &tcp{}, "127.0.0.1", withTLS), newNode(t, &tcp{}, "127.0.0.1", withTLS)
	s := a.session(t, b)
	works(t, s)
	works(t, b.Live(a.Node()))
	if got, err := do(t.Context(), s, request(t.Context(), echo, make([]byte, 1<<20))); err != nil || len(got) != 1<<20 {
		t.Errorf("an echo over TLS returned %d bytes, %v", len(got), err)
	}

	plain := newNode(t, &tcp{}, "127.0.0.1")
	_, err := plain.Session(t.Context(), b.at, refs.NodeID{})
	wantKind(t, err, fault.KindDenied, fault.OutcomeNotExecuted, "this node wants TLS")
	_, err = b.Session(t.Context(), plain.at, refs.NodeID{})
	wantKind(t, err, fault.KindDenied, fault.OutcomeNotExecuted, "TLS: the other side does not use it")
	plain.logs.wait(t, "looks like TLS")
	stranger := newNode(t, &tcp{}, "", func(c *Config) { c.TLS = &tls.Config{} })
	_, err = stranger.Session(t.Context(), b.at, refs.NodeID{})
	wantKind(t, err, fault.KindDenied, fault.OutcomeNotExecuted, "certificate")
	works(t, s)
}

func TestUnixSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	a, b := newNode(t, &tcp{}, ""), newNode(t, &tcp{}, "")
	if _, err := b.Listen(t.Context(), "unix", path); err != nil {
		t.Fatal(err)
	}
	s, err := a.Session(t.Context(), refs.Endpoint{Host: path}, b.Node())
	if err != nil {
		t.Fatal(err)
	}
	works(t, s)
	works(t, b.Live(a.Node()))
	if got, err := do(t.Context(), s, request(t.Context(), echo, make([]byte, 1<<20))); err != nil || len(got) != 1<<20 {
		t.Errorf("an echo returned %d bytes, %v", len(got), err)
	}
	if s.PeerHost() != "127.0.0.1" {
		t.Errorf("the peer's host is %q", s.PeerHost())
	}
}

func TestAnAddressThatIsTaken(t *testing.T) {
	a, b := newNode(t, &tcp{}, "127.0.0.1"), newNode(t, &tcp{}, "")
	_, err := b.Listen(t.Context(), "tcp", a.at.Address())
	wantKind(t, err, fault.KindConnectFailed, fault.OutcomeNotExecuted, "another program has the address already")
}

// inTheMiddle is a host with a certificate of its own that both sides accept. It ends TLS and
// forwards what each side sends, which it can read.
func inTheMiddle(t *testing.T, cfg *tls.Config, to refs.Endpoint) refs.Endpoint {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var relays sync.WaitGroup
	relays.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := tls.Dial("tcp", to.Address(), cfg)
			if err != nil {
				t.Error(err)
				near.Close()
				return
			}
			relays.Go(func() { // a proof that was taken must not hold the test up
				<-ctx.Done()
				near.Close()
				far.Close()
			})
			for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
				relays.Go(func() {
					_, _ = io.Copy(way[0], way[1])
					near.Close()
					far.Close()
				})
			}
		}
	})
	t.Cleanup(func() { cancel(); l.Close(); relays.Wait() })
	at, err := refs.ParseEndpoint(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// A proof holds only for the TLS channel on which it is given. On another it proves nothing.
func TestAProofIsOfItsTLSChannel(t *testing.T) {
	cfg := certificate(t)
	withTLS := func(c *Config) { c.TLS = cfg }
	a, b := newNode(t, &tcp{}, "", withTLS), newNode(t, &tcp{}, "127.0.0.1", withTLS)
	middle := inTheMiddle(t, cfg, b.at)
	_, err := a.Session(t.Context(), middle, b.Node())
	wantKind(t, err, fault.KindDenied, fault.OutcomeNotExecuted, "could not prove that it is node "+b.Node().String())

	// A dialling side that checks no proof does not help: its own is refused, too.
	for _, straight := range []bool{true, false} {
		at := middle
		if straight {
			at = b.at
		}
		conn, err := tls.Dial("tcp", at.Address(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		p := newRaw(t, conn)
		state := conn.ConnectionState()
		binding, err := state.ExportKeyingMaterial("EXPORTER-GoRMI", nil, 32)
		if err != nil {
			t.Fatal(err)
		}
		pr := p.greet(p.makeHello())
		copy(pr.Signature[:], ed25519.Sign(p.key, pr.Signed(wire.Transcript(true, p.hello, p.its, binding))))
		p.write(pr.Append(nil))
		if straight {
			p.message(wire.HandshakeWelcome)
			conn.Close()
		} else if told := refusal(p.ended()); !strings.Contains(told, "could not prove") {
			t.Errorf("the peer was told %q", told)
		}
	}
}
