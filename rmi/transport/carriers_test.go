package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"

	"gormi/refs"
	"gormi/rmi/fault"
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
	wantKind(t, err, fault.Denied, fault.NotExecuted, "this node wants TLS")
	_, err = b.Session(t.Context(), plain.at, refs.NodeID{})
	wantKind(t, err, fault.Denied, fault.NotExecuted, "TLS: the other side does not use it")
	plain.logs.wait(t, "looks like TLS")
	stranger := newNode(t, &tcp{}, "", func(c *Config) { c.TLS = &tls.Config{} })
	_, err = stranger.Session(t.Context(), b.at, refs.NodeID{})
	wantKind(t, err, fault.Denied, fault.NotExecuted, "certificate")
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
	wantKind(t, err, fault.ConnectFailed, fault.NotExecuted, "another program has the address already")
}
