package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gormi/registry"
	"gormi/rmi"
)

// authority signs certificates for 127.0.0.1.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func (a *authority) issue(t *testing.T, template *x509.Certificate) (der []byte, key *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := template, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err = x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}

func newAuthority(t *testing.T) *authority {
	a := &authority{pool: x509.NewCertPool()}
	der, key := a.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, a.key = cert, key
	a.pool.AddCert(cert)
	return a
}

// leaf returns a certificate and its key in PEM form.
func (a *authority) leaf(t *testing.T) (cert, key []byte) {
	der, k := a.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	b, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: b})
}

func write(t *testing.T, name string, b []byte) string {
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTLS(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.leaf(t)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	files := []string{"-tls-cert", write(t, "cert.pem", cert), "-tls-key", write(t, "key.pem", key)}
	// With TLS, an address beyond loopback needs no -insecure.
	d := start(t, append(files, "-addr", "0.0.0.0:0", "-tls-client-ca", write(t, "ca.pem", ca))...)
	_, port, err := net.SplitHostPort(d.addr)
	if err != nil {
		t.Fatal(err)
	}
	url := "rmi://127.0.0.1:" + port
	pair, err := tls.X509KeyPair(a.leaf(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what   string
		config *tls.Config
		ok     bool
	}{
		{"with a certificate", &tls.Config{RootCAs: a.pool, Certificates: []tls.Certificate{pair}}, true},
		{"without a certificate", &tls.Config{RootCAs: a.pool}, false},
		{"without the authority", &tls.Config{Certificates: []tls.Certificate{pair}}, false},
		{"in the clear", nil, false},
	} {
		n := rmi.NewNode(&rmi.Options{TLS: c.config, Logger: slog.New(slog.DiscardHandler)})
		var err error
		for _, err = range registry.List(t.Context(), n, url) {
		}
		if c.ok != (err == nil) {
			t.Errorf("%s: %v", c.what, err)
		}
		n.Close()
	}
	status, _, stderr := once(t, "-tls-cert", files[3], "-tls-key", files[1], "-addr", "127.0.0.1:0")
	if status != 1 {
		t.Errorf("certificate and key exchanged: status %d, %s", status, stderr)
	}
	status, _, stderr = once(t, append(files, "-tls-client-ca", files[3], "-addr", "127.0.0.1:0")...)
	if status != 1 {
		t.Errorf("a key as -tls-client-ca: status %d, %s", status, stderr)
	}
}

// What -init-tls prints is all that is needed: lines for the registry, for servers and for clients.
func TestInitTLS(t *testing.T) {
	dir := t.TempDir()
	status, stdout, stderr := once(t, "-init-tls", dir, "-tls-names", "bank.example,10.0.0.7")
	if status != 0 || stderr != "" {
		t.Fatalf("status %d, %s", status, stderr)
	}
	var args []string
	env := make(map[string]map[string]string) // by the role that a line is for
	role := ""
	for line := range strings.Lines(stdout) {
		words := strings.Fields(line)
		switch {
		case len(words) > 1 && words[0] == "A":
			role = words[1]
		case len(words) > 0 && words[0] == "rmiregistry":
			args = words[1:]
		case len(words) > 0 && words[0] == "export":
			env[role] = make(map[string]string)
			for _, w := range words[1:] {
				name, value, _ := strings.Cut(w, "=")
				env[role][name] = value
			}
		}
	}
	if i := slices.Index(args, ":1099"); i < 0 || len(env) != 2 {
		t.Fatalf("printed %s", stdout)
	} else {
		args[i] = "localhost:0"
	}
	d := start(t, args...)
	list := func(d *daemon, c *tls.Config) error {
		n := rmi.NewNode(&rmi.Options{TLS: c, Logger: slog.New(slog.DiscardHandler)})
		defer n.Close()
		for _, err := range registry.List(t.Context(), n, "rmi://"+d.addr) {
			return err
		}
		return nil
	}
	for role, vars := range env {
		for name, value := range vars {
			t.Setenv(name, value)
		}
		c, err := rmi.TLSFromEnv()
		if err != nil {
			t.Fatalf("%s: %v", role, err)
		}
		if err := list(d, c); err != nil {
			t.Errorf("%s: %v", role, err)
		}
	}
	if err := list(d, nil); rmi.KindOf(err) != rmi.KindDenied {
		t.Errorf("in the clear: %v", err)
	}
	// A daemon takes its files from the environment too: here those of a client.
	e := start(t, "-addr", "localhost:0")
	if err := list(e, nil); rmi.KindOf(err) != rmi.KindDenied {
		t.Errorf("in the clear, to a daemon of the environment: %v", err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-tls-names", "x"}, "-init-tls"},
		{[]string{"-init-tls", dir, "-tls-names", "a b"}, `"a b" is neither`},
		{[]string{"-init-tls", filepath.Join(dir, "ca.pem")}, "ca.pem"},
	} {
		if status, _, stderr := once(t, c.args...); status == 0 || !strings.Contains(stderr, c.want) {
			t.Errorf("%q: status %d, %s", c.args, status, stderr)
		}
	}
}
