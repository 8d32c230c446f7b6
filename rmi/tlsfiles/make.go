package tlsfiles

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Lifetimes of what Make makes. A certificate is valid from an hour before it was made, because
// clocks differ.
const (
	AuthorityLifetime   = 10 * 365 * 24 * time.Hour
	CertificateLifetime = 365 * 24 * time.Hour
	early               = time.Hour
)

var roles = []string{"registry", "server", "client"}

// Roles lists the certificates that Make makes: DIR/ROLE.pem with DIR/ROLE-key.pem each.
func Roles() []string { return slices.Clone(roles) }

// AuthorityFile is the name of the authority's certificate in the directory of Make.
const AuthorityFile = "ca.pem"

const authorityKey = "ca-key.pem"

// Make writes an authority to dir (ca.pem, ca-key.pem), and certificates of this authority for a
// registry, servers and clients (registry.pem, registry-key.pem, ...). Each is valid for both ends
// of a connection, because nodes call each other. names are the DNS names and IP addresses by which
// the registry and the servers are reached. Make adds localhost, its addresses and the name of this
// machine. A certificate's principal is the URI in it, spiffe://gormi/ROLE.
//
// If dir has an authority already, Make keeps it and makes new certificates. So call Make again
// before a year is over: certificates are valid for a year, the authority for ten. Only their owner
// can read the keys. ca-key.pem is needed only to make certificates. Whoever has it can pose as
// anybody.
func Make(dir string, names ...string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	ca, key, err := authority(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if n == "" || net.ParseIP(n) == nil && strings.ContainsAny(n, ":/ \t,") {
			return fmt.Errorf("%q is neither a host name nor an IP address", n)
		}
	}
	names = append(slices.Clone(names), "localhost", "127.0.0.1", "::1")
	if host, err := os.Hostname(); err == nil {
		names = append(names, host)
	}
	for _, role := range roles {
		if err := certificate(dir, role, ca, key, names); err != nil {
			return err
		}
	}
	return nil
}

// authority reads the authority of dir, or makes one if there is none.
func authority(dir string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	file, keyFile := filepath.Join(dir, AuthorityFile), filepath.Join(dir, authorityKey)
	ca, err := readCertificate(file)
	switch {
	case err == nil:
		if time.Now().After(ca.NotAfter) {
			return nil, nil, fmt.Errorf("%s expired on %s: remove it and %s to make another, and give that to all nodes", file, ca.NotAfter.Format(time.DateOnly), keyFile)
		}
		key, err := readKey(keyFile)
		if err != nil {
			return nil, nil, err
		}
		if !key.PublicKey.Equal(ca.PublicKey) {
			return nil, nil, fmt.Errorf("%s is not the key of %s", keyFile, file)
		}
		return ca, key, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, nil, err
	}
	if _, err := os.Stat(keyFile); err == nil {
		return nil, nil, fmt.Errorf("%s exists, and %s does not: remove the key, or put the certificate back", keyFile, file)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "GoRMI authority"},
		NotBefore: now.Add(-early), NotAfter: now.Add(AuthorityLifetime),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	if ca, err = x509.ParseCertificate(der); err != nil {
		return nil, nil, err
	}
	if err := writeKey(keyFile, key); err != nil {
		return nil, nil, err
	}
	return ca, key, write(file, 0o644, "CERTIFICATE", der)
}

func certificate(dir, role string, ca *x509.Certificate, caKey *ecdsa.PrivateKey, names []string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: role},
		URIs:      []*url.URL{{Scheme: "spiffe", Host: "gormi", Path: "/" + role}},
		NotBefore: now.Add(-early), NotAfter: now.Add(CertificateLifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if template.NotAfter.After(ca.NotAfter) {
		template.NotAfter = ca.NotAfter
	}
	if role != "client" {
		for _, n := range names {
			if ip := net.ParseIP(n); ip != nil {
				template.IPAddresses = append(template.IPAddresses, ip)
			} else if !slices.Contains(template.DNSNames, n) {
				template.DNSNames = append(template.DNSNames, n)
			}
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, &key.PublicKey, caKey)
	if err != nil {
		return fmt.Errorf("%s: %w", role, err)
	}
	if err := writeKey(filepath.Join(dir, role+"-key.pem"), key); err != nil {
		return err
	}
	return write(filepath.Join(dir, role+".pem"), 0o644, "CERTIFICATE", der)
}

func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:])
	b[0] &= 0x7f // RFC 5280 wants it positive
	b[0] |= 0x40
	return new(big.Int).SetBytes(b[:])
}

func readBlock(file, kind string) ([]byte, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s holds no %s in PEM form", file, kind)
	}
	return block.Bytes, nil
}

func readCertificate(file string) (*x509.Certificate, error) {
	der, err := readBlock(file, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return c, nil
}

func readKey(file string) (*ecdsa.PrivateKey, error) {
	der, err := readBlock(file, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	key, ok := k.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds a %T, want one of ECDSA, as this program makes them", file, k)
	}
	return key, nil
}

func writeKey(file string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return write(file, 0o600, "PRIVATE KEY", der)
}

// write replaces a file in one step: a reader gets the old one or the new one.
func write(file string, mode fs.FileMode, kind string, der []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	err = f.Chmod(mode)
	if err == nil {
		err = pem.Encode(f, &pem.Block{Type: kind, Bytes: der})
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
