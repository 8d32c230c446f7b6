package tlsfiles_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"gormi/rmi/tlsfiles"
)

// made returns a directory of Make and the files of a role in it.
func made(t *testing.T, names ...string) (dir string, of func(role string) tlsfiles.Files) {
	t.Helper()
	dir = t.TempDir()
	if err := tlsfiles.Make(dir, names...); err != nil {
		t.Fatal(err)
	}
	return dir, func(role string) tlsfiles.Files {
		return tlsfiles.Files{Cert: filepath.Join(dir, role+".pem"), Key: filepath.Join(dir, role+"-key.pem"), CA: filepath.Join(dir, tlsfiles.AuthorityFile)}
	}
}

func load(t *testing.T, f tlsfiles.Files) *tls.Config {
	t.Helper()
	c, err := tlsfiles.Load(f)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// meet makes a connection and returns what each side saw of the other.
func meet(server, client *tls.Config, name string) (atServer, atClient tls.ConnectionState, err error) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	client = client.Clone()
	client.ServerName = name
	accepted, dialled := tls.Server(a, server), tls.Client(b, client)
	end := make(chan error, 1)
	go func() {
		err := accepted.Handshake()
		if err == nil {
			_, err = accepted.Write([]byte("x")) // of TLS 1.3, the client hears by this whether it was let in
		} else {
			a.Close()
		}
		end <- err
	}()
	err = dialled.Handshake()
	if err == nil {
		_, err = dialled.Read(make([]byte, 1))
	}
	b.Close()
	if e := <-end; e != nil && err == nil {
		err = e
	}
	return accepted.ConnectionState(), dialled.ConnectionState(), err
}

func serial(s tls.ConnectionState) string { return s.PeerCertificates[0].SerialNumber.String() }

func TestEveryRoleKnowsTheOthers(t *testing.T) {
	_, of := made(t, "db.example", "10.1.2.3")
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "db.example", "10.1.2.3"} {
		for _, server := range []string{"registry", "server"} {
			for _, client := range tlsfiles.Roles() {
				at, from, err := meet(load(t, of(server)), load(t, of(client)), name)
				if err != nil {
					t.Fatalf("%s called by %s as %s: %v", server, client, name, err)
				}
				if got, want := at.PeerCertificates[0].URIs[0].String(), "spiffe://gormi/"+client; got != want {
					t.Errorf("the caller is %s, want %s", got, want)
				}
				if from.Version != tls.VersionTLS13 || from.PeerCertificates[0].Subject.CommonName != server {
					t.Errorf("version %x, %v", from.Version, from.PeerCertificates[0].Subject)
				}
			}
		}
	}
	if _, _, err := meet(load(t, of("server")), load(t, of("client")), "other.example"); err == nil {
		t.Error("a certificate was accepted for another name")
	}
	if _, _, err := meet(load(t, of("client")), load(t, of("server")), "localhost"); err == nil {
		t.Error("a client's certificate was accepted for a host")
	}
}

func TestStrangersAreRefused(t *testing.T) {
	_, of := made(t)
	_, others := made(t)
	mixed := others("client")
	mixed.CA = of("client").CA
	for name, client := range map[string]*tls.Config{
		"of another authority":                     load(t, others("client")),
		"that trusts the authority, is of another": load(t, mixed),
		"without a certificate":                    load(t, tlsfiles.Files{CA: of("client").CA}),
	} {
		if _, _, err := meet(load(t, of("server")), client, "localhost"); err == nil {
			t.Errorf("a client %s was let in", name)
		}
	}
}

func TestReplacedFilesAreTakenUp(t *testing.T) {
	dir, of := made(t)
	var log bytes.Buffer
	files := of("server")
	files.Logger = slog.New(slog.NewTextHandler(&log, nil))
	server, client := load(t, files), load(t, of("client"))
	seen := func() string {
		t.Helper()
		_, from, err := meet(server, client, "localhost")
		if err != nil {
			t.Fatal(err)
		}
		return serial(from)
	}
	first := seen()
	if err := tlsfiles.Make(dir); err != nil {
		t.Fatal(err)
	}
	second := seen()
	if second == first || !strings.Contains(log.String(), "were replaced") {
		t.Fatalf("the certificate is still the one of the start; log: %s", &log)
	}
	// Half a replacement, and none, leave things as they are, and are logged once.
	key, err := os.ReadFile(filepath.Join(dir, "client-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	log.Reset()
	for _, breaks := range []func(string) error{
		func(f string) error { return os.WriteFile(f, key, 0o600) },
		os.Remove,
	} {
		if err := breaks(files.Key); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if seen() != second {
				t.Error("the certificate changed")
			}
		}
	}
	if n := strings.Count(log.String(), "cannot be used"); n != 2 || !strings.Contains(log.String(), files.Key) {
		t.Errorf("%d lines for 2 replacements: %s", n, &log)
	}
	if err := tlsfiles.Make(dir); err != nil {
		t.Fatal(err)
	}
	if third := seen(); third == second {
		t.Error("the certificate was not taken up after a failure")
	}
}

// A node that is called trusts the authorities that its file names now.
func TestAReplacedAuthorityIsTakenUp(t *testing.T) {
	_, of := made(t)
	_, others := made(t)
	server := load(t, of("server"))
	stranger := others("client")
	stranger.CA = "" // looks at nothing but its own
	client := load(t, stranger)
	client.InsecureSkipVerify = true
	if _, _, err := meet(server, client, "localhost"); err == nil {
		t.Fatal("a stranger was let in")
	}
	ca, err := os.ReadFile(others("client").CA)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(of("server").CA, ca, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := meet(server, client, "localhost"); err != nil {
		t.Error(err)
	}
}

func TestMakeKeepsTheAuthority(t *testing.T) {
	dir, of := made(t)
	before, err := os.ReadFile(of("client").CA)
	if err != nil {
		t.Fatal(err)
	}
	old := load(t, of("client"))
	if err := tlsfiles.Make(dir, "more.example"); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(of("client").CA); !bytes.Equal(before, after) {
		t.Error("the authority is another")
	}
	if _, _, err := meet(load(t, of("server")), old, "more.example"); err != nil {
		t.Errorf("a certificate from before: %v", err)
	}
	if runtime.GOOS != "windows" {
		for _, f := range []string{"ca-key.pem", "server-key.pem"} {
			if info, err := os.Stat(filepath.Join(dir, f)); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v %v", f, info.Mode(), err)
			}
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.pem.*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
	for name, spoil := range map[string]func() error{
		"exists, and":        func() error { return os.Remove(of("client").CA) },
		"is not the key of":  func() error { return os.WriteFile(of("client").CA, authorityOf(t), 0o644) },
		"no CERTIFICATE in ": func() error { return os.WriteFile(of("client").CA, []byte("junk"), 0o644) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if err := tlsfiles.Make(dir); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func authorityOf(t *testing.T) []byte {
	_, of := made(t)
	b, err := os.ReadFile(of("client").CA)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCertificatesAreSensible(t *testing.T) {
	dir, _ := made(t)
	for _, name := range append(tlsfiles.Roles(), "ca") {
		b, err := os.ReadFile(filepath.Join(dir, name+".pem"))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(b)
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		want := tlsfiles.CertificateLifetime
		if name == "ca" {
			want = tlsfiles.AuthorityLifetime
		}
		if left := time.Until(c.NotAfter); left > want || left < want-time.Hour || time.Since(c.NotBefore) < 59*time.Minute {
			t.Errorf("%s is valid from %v to %v", name, c.NotBefore, c.NotAfter)
		}
		if c.IsCA != (name == "ca") || c.IsCA && !c.MaxPathLenZero {
			t.Errorf("%s: authority %v", name, c.IsCA)
		}
		if hosts := slices.Contains(c.DNSNames, "localhost"); hosts != (name == "registry" || name == "server") {
			t.Errorf("%s is for the hosts %v", name, c.DNSNames)
		}
	}
}

func TestBadFilesAreNamed(t *testing.T) {
	dir, of := made(t)
	junk := filepath.Join(dir, "junk.pem")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, c := of("server"), of("client")
	for want, f := range map[string]tlsfiles.Files{
		"no certificate and no authority":           {},
		"server.pem needs its private key":          {Cert: s.Cert},
		"server-key.pem needs its certificate":      {Key: s.Key},
		"missing.pem":                               {Cert: s.Cert, Key: filepath.Join(dir, "missing.pem")},
		"private key does not match":                {Cert: s.Cert, Key: c.Key},
		"junk.pem holds no certificate in PEM form": {CA: junk},
		"junk.pem with key":                         {Cert: junk, Key: s.Key},
	} {
		if _, err := tlsfiles.Load(f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want something about %q", f, err, want)
		}
	}
	for _, name := range []string{"", "a b", "host:1099", "http://x"} {
		if err := tlsfiles.Make(t.TempDir(), name); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q is neither", name)) {
			t.Errorf("name %q: %v", name, err)
		}
	}
}

func TestTheEnvironmentNamesTheFiles(t *testing.T) {
	_, of := made(t)
	for _, v := range []string{tlsfiles.EnvCert, tlsfiles.EnvKey, tlsfiles.EnvCA} {
		t.Setenv(v, "")
	}
	if c, err := tlsfiles.FromEnv(); c != nil || err != nil {
		t.Errorf("without variables: %v, %v", c, err)
	}
	f := of("server")
	t.Setenv(tlsfiles.EnvCert, f.Cert)
	if _, err := tlsfiles.FromEnv(); err == nil || !strings.Contains(err.Error(), "$RMI_TLS_KEY") {
		t.Errorf("without a key: %v", err)
	}
	t.Setenv(tlsfiles.EnvKey, f.Key)
	t.Setenv(tlsfiles.EnvCA, f.CA)
	c, err := tlsfiles.FromEnv()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := meet(c, c, "localhost"); err != nil {
		t.Error(err)
	}
}
