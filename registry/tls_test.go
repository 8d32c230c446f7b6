package registry_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"gormi/registry"
	"gormi/rmi"
)

// certified makes a certificate for 127.0.0.1 and a pool that trusts it.
func certified(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
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

// Where a registry answers, and TLS stands between, nobody is told to start one.
func TestARegistryBehindTLSIsNotMissing(t *testing.T) {
	cert, pool := certified(t)
	serve := func(cfg *tls.Config) string {
		s, err := registry.Serve(t.Context(), listening(t, "127.0.0.1:0", &rmi.Options{TLS: cfg}), nil)
		if err != nil {
			t.Fatal(err)
		}
		return s.URL("bank/alice")
	}
	secure, plain := serve(&tls.Config{Certificates: []tls.Certificate{cert}}), serve(nil)
	for _, c := range []struct {
		name, url string
		caller    *tls.Config
		text      string
		kind      rmi.Kind
	}{
		{"all is well", secure, &tls.Config{RootCAs: pool}, "", rmi.KindNotBound},
		{"a certificate that is not trusted", secure, &tls.Config{RootCAs: x509.NewCertPool()}, "RootCAs", rmi.KindDenied},
		{"a certificate of another name", secure, &tls.Config{RootCAs: pool, ServerName: "bank.example"}, "ServerName", rmi.KindDenied},
		{"in the clear at a port of TLS", secure, nil, "Options.TLS", rmi.KindDenied},
		{"TLS at a port in the clear", plain, &tls.Config{RootCAs: pool}, "Options.TLS", rmi.KindDenied},
	} {
		_, err := registry.Lookup[Account](testContext(t), newNode(t, &rmi.Options{TLS: c.caller}), c.url, nil)
		wantKind(t, err, c.kind)
		if err == nil {
			continue
		}
		text := err.Error()
		if !strings.Contains(text, c.text) || !strings.Contains(text, c.url) {
			t.Errorf("%s: the text does not say what to do: %v", c.name, err)
		}
		if strings.Contains(text, "no registry") || strings.Contains(text, "no GoRMI") {
			t.Errorf("%s: the text denies the registry: %v", c.name, err)
		}
	}
}
