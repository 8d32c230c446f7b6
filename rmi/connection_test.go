package rmi_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"gormi/rmi/transport"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gormi/rmi"
	"gormi/rmi/internal/memnet"
	"gormi/rmi/rmitest"
)

// countingNetwork counts the connections that its listeners accept.
type countingNetwork struct {
	transport.Network
	accepted *atomic.Int64
}

func (n countingNetwork) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	l, err := n.Network.Listen(ctx, network, address)
	return countingListener{l, n.accepted}, err
}

type countingListener struct {
	net.Listener
	accepted *atomic.Int64
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.accepted.Add(1)
	}
	return c, err
}

// listening returns a node that listens on addr, and is closed with the test.
func listening(t *testing.T, addr string, o *rmi.Options) *rmi.Node {
	t.Helper()
	n := client(t, o)
	if _, err := n.Listen(t.Context(), addr); err != nil {
		t.Fatal(err)
	}
	return n
}

// client returns a node that is closed with the test. o may be nil.
func client(t *testing.T, o *rmi.Options) *rmi.Node {
	var opts rmi.Options
	if o != nil {
		opts = *o
	}
	opts.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	n := rmi.NewNode(&opts)
	t.Cleanup(func() { n.Close() })
	return n
}

func TestAThousandFirstCallsDialOnce(t *testing.T) {
	var accepted atomic.Int64
	network := memnet.New()
	owner := listening(t, "owner:0", &rmi.Options{Network: countingNetwork{network.Host("owner"), &accepted}})
	caller := client(t, &rmi.Options{Network: network.Host("caller")})
	r := export[Worker](t, owner, &worker{}, nil)
	ctx := within(t)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			<-start
			w, err := rmi.Resolve[Worker](caller, r, nil)
			if err != nil {
				t.Error(err)
				return
			}
			if n, err := w.Do(ctx, int64(i)); n != int64(i) || err != nil {
				t.Errorf("got %d, %v", n, err)
			}
		})
	}
	close(start)
	wg.Wait()
	if n := accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestCrossedDialsLeaveOneConnection(t *testing.T) {
	network := rmitest.New(t)
	for range 50 {
		a, b := network.Node(), network.Node()
		onB, onA := hire(t, b, a, &worker{}), hire(t, a, b, &worker{})
		ctx := within(t)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				<-start
				w := onA
				if i%2 == 0 {
					w = onB
				}
				for n := range int64(5) {
					if m, err := w.Do(ctx, n); m != n || err != nil {
						t.Errorf("got %d, %v", m, err)
					}
				}
			})
		}
		close(start)
		wg.Wait()
		for deadline := time.Now().Add(10 * time.Second); a.Sessions() != 1 || b.Sessions() != 1; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("%d and %d connections", a.Sessions(), b.Sessions())
			}
		}
	}
}

func TestACallOutlivesItsConnection(t *testing.T) { overCarriers(t, aCallOutlivesItsConnection) }

func aCallOutlivesItsConnection(t *testing.T, network carrier) {
	owner, caller := network.Node(), network.Client()
	running, goOn := make(chan struct{}), make(chan struct{})
	w := hire(t, owner, caller, &worker{do: func(ctx context.Context, n int64) (int64, error) {
		if n == 0 {
			close(running) // panics if the call runs twice
			select {
			case <-goOn:
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		return n, nil
	}})
	result := make(chan error, 1)
	go func() {
		_, err := w.Do(within(t), 0)
		result <- err
	}()
	<-running
	for i := range int64(20) {
		network.Cut(owner, caller)
		if n, err := w.Do(within(t), i+1); n != i+1 || err != nil {
			t.Errorf("after the cut: %d, %v", n, err)
		}
	}
	close(goOn)
	if err := receive(t, result); err != nil {
		t.Errorf("the call that was running: %v", err)
	}
}

func TestAReferenceToARestartedOwnerIsStale(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	w := hire(t, owner, caller, &worker{})
	if _, err := w.Do(within(t), 1); err != nil {
		t.Fatal(err)
	}
	owner = network.Restart(owner, nil)
	_, err := redo(within(t), w, 1)
	expect{rmi.KindStaleReference, rmi.OutcomeNotExecuted, nil}.check(t, err)
	if n, err := hire(t, owner, caller, &worker{}).Do(within(t), 1); n != 1 || err != nil {
		t.Errorf("a new reference: %d, %v", n, err)
	}
	_, err = w.Do(within(t), 1) // also with a connection to the new one
	expect{rmi.KindStaleReference, rmi.OutcomeNotExecuted, nil}.check(t, err)
}

// certificate makes a certificate for 127.0.0.1 and a pool that trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestTLS(t *testing.T) {
	cert, pool := certificate(t)
	strangers, _ := certificate(t)
	server := &tls.Config{Certificates: []tls.Certificate{cert}}
	both := &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	for _, c := range []struct {
		name          string
		owner, caller *tls.Config
		works         bool
		text          string
		kind          rmi.Kind
	}{
		{"one side proves itself", server, &tls.Config{RootCAs: pool}, true, "", 0},
		{"both sides prove themselves", both, both, true, "", 0},
		{"the caller trusts another authority", server, &tls.Config{RootCAs: x509.NewCertPool()}, false, "RootCAs", rmi.KindDenied},
		{"the owner's certificate is for another name", server, &tls.Config{RootCAs: pool, ServerName: "bank.example"}, false, "ServerName", rmi.KindDenied},
		{"the caller has no certificate", both, &tls.Config{RootCAs: pool}, false, "refuses this one", rmi.KindDenied},
		{"the caller has another's", both, &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{strangers}}, false, "refuses this one", rmi.KindDenied},
		{"only the owner uses TLS", server, nil, false, "Options.TLS on both sides", rmi.KindDenied},
		{"only the caller uses TLS", nil, &tls.Config{RootCAs: pool}, false, "on both sides or on neither", rmi.KindDenied},
	} {
		t.Run(c.name, func(t *testing.T) {
			owner := listening(t, "127.0.0.1:0", &rmi.Options{TLS: c.owner})
			caller := client(t, &rmi.Options{TLS: c.caller})
			w := hire(t, owner, caller, &worker{do: func(_ context.Context, n int64) (int64, error) { return n, nil }})
			n, err := w.Apply(within(t), func(_ context.Context, n int64) (int64, error) { return n + 1, nil }, 1)
			if c.works {
				if n != 2 || err != nil {
					t.Fatalf("got %d, %v", n, err)
				}
				if b, err := w.Bytes(within(t), make([]byte, 3<<20)); len(b) != 3<<20 || err != nil {
					t.Errorf("got %d bytes, %v", len(b), err)
				}
				return
			}
			if err == nil || rmi.OutcomeOf(err) != rmi.OutcomeNotExecuted || !errors.Is(err, c.kind) {
				t.Errorf("got %v", err)
			}
			if err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("the text does not say %q: %v", c.text, err)
			}
		})
	}
}

// A node that has no certificate is told so where it begins to listen, and not its callers.
func TestListeningWithTLSWantsACertificate(t *testing.T) {
	cert, pool := certificate(t)
	callers := &tls.Config{RootCAs: pool}
	_, err := client(t, &rmi.Options{TLS: callers}).Listen(t.Context(), "127.0.0.1:0")
	expect{rmi.KindInvalid, rmi.OutcomeNotExecuted, nil}.check(t, err)
	if err != nil && (!strings.Contains(err.Error(), "Options.TLS") || !strings.Contains(err.Error(), "tls.LoadX509KeyPair")) {
		t.Errorf("the text does not say what to do: %v", err)
	}
	for name, cfg := range map[string]*tls.Config{
		"Certificates":       {Certificates: []tls.Certificate{cert}},
		"GetCertificate":     {GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil }},
		"GetConfigForClient": {GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }},
	} {
		if _, err := client(t, &rmi.Options{TLS: cfg}).Listen(t.Context(), "127.0.0.1:0"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := client(t, &rmi.Options{TLS: callers}).Listen(t.Context(), "udp:127.0.0.1:0"); err != nil { // which has no TLS
		t.Error(err)
	}
}

func TestUnixSockets(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no unix sockets as here")
	}
	dir, err := os.MkdirTemp("", "rmi") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	owner := listening(t, path, nil)
	if ep := owner.Endpoint(); !ep.IsUnix() || ep.Host != path {
		t.Errorf("the node says that it listens at %v", ep)
	}
	w := hire(t, owner, client(t, nil), &worker{})
	if n, err := w.Apply(within(t), func(_ context.Context, n int64) (int64, error) { return n * 3, nil }, 2); n != 6 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %v, %v", info.Mode(), err)
	}
	// A socket in use is not taken away.
	other := client(t, nil)
	_, err = other.Listen(t.Context(), path)
	expect{rmi.KindConnectFailed, rmi.OutcomeNotExecuted, nil}.check(t, err)
	if n, err := w.Do(within(t), 1); n != 1 || err != nil {
		t.Errorf("afterwards: %d, %v", n, err)
	}
	// One that a killed program left is.
	abandoned := filepath.Join(dir, "left")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: abandoned, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := other.Listen(t.Context(), abandoned); err != nil {
		t.Errorf("a socket that nobody listens on: %v", err)
	}
}

func TestListeningBeyondLoopbackIsRefused(t *testing.T) {
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.com:0"} {
		_, err := client(t, nil).Listen(t.Context(), addr)
		expect{rmi.KindDenied, rmi.OutcomeNotExecuted, nil}.check(t, err)
		if err != nil && (!strings.Contains(err.Error(), "TLS") || !strings.Contains(err.Error(), "Insecure")) {
			t.Errorf("%s: the text does not say what to do: %v", addr, err)
		}
	}
	for _, addr := range []string{"127.0.0.1:0", "localhost:0"} {
		if _, err := client(t, nil).Listen(t.Context(), addr); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
	}
	// A node that listens everywhere leaves its host to the receiver.
	owner := listening(t, ":0", &rmi.Options{Insecure: true})
	if ep := owner.Endpoint(); ep.Host != "" || ep.Port == 0 {
		t.Errorf("it says that it listens at %v", ep)
	}
	cert, pool := certificate(t)
	secure := listening(t, ":0", &rmi.Options{TLS: &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: pool}, Advertise: "bank.example:7000"})
	if ep := secure.Endpoint(); ep.String() != "bank.example:7000" {
		t.Errorf("it says that it listens at %v", ep)
	}
}

func TestAListenerInUseIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = client(t, nil).Listen(t.Context(), l.Addr().String())
	expect{rmi.KindConnectFailed, rmi.OutcomeNotExecuted, nil}.check(t, err)
	if err != nil && !strings.Contains(err.Error(), "another program") {
		t.Errorf("the text is %v", err)
	}
	for _, addr := range []string{"", "127.0.0.1", "127.0.0.1:99999", "no host:0"} {
		_, err := client(t, nil).Listen(t.Context(), addr)
		expect{rmi.KindInvalid, rmi.OutcomeNotExecuted, nil}.check(t, err)
	}
}
