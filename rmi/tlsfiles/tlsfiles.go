// Package tlsfiles secures nodes with certificates that are files, and makes such files.
//
// A node proves by its certificate who it is, both to those who call it and to those whom it calls.
// Load makes the *tls.Config of such a node. It trusts peers whose certificates an authority in the
// file CA made.
//
// The certificate and its key may be replaced on disk while they are in use. Every handshake uses
// what the files hold. A replacement that cannot be used, because a file is missing or the key is
// another certificate's, is logged and ignored: the node goes on with what it had. A change of the
// authorities takes effect in the same way for peers that call the node. For peers that the node
// calls, the authorities stay those of the start.
//
// Make writes an authority and certificates for users who have no authority of their own.
package tlsfiles

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// Environment variables that FromEnv reads.
const (
	EnvCert = "RMI_TLS_CERT"
	EnvKey  = "RMI_TLS_KEY"
	EnvCA   = "RMI_TLS_CA"
)

// Files names the files of a node's TLS, all in PEM form.
type Files struct {
	// Cert is the node's certificate, and those between it and its authority. Key is its private
	// key. Both or none are given. A node without them can dial, but not listen.
	Cert, Key string

	// CA has the certificates of the authorities that the node trusts. A peer that calls the node
	// must then have a certificate of one of them. If CA is empty, the node trusts the system's
	// authorities when it calls, and anybody may call it.
	CA string

	// Logger logs replacements. If nil, slog.Default().
	Logger *slog.Logger
}

// FromEnv is Load of the files that $RMI_TLS_CERT, $RMI_TLS_KEY and $RMI_TLS_CA name. If none of
// them is set, it returns nil: no TLS.
func FromEnv() (*tls.Config, error) {
	f := Files{Cert: os.Getenv(EnvCert), Key: os.Getenv(EnvKey), CA: os.Getenv(EnvCA)}
	if f == (Files{}) {
		return nil, nil
	}
	c, err := Load(f)
	if err != nil {
		return nil, fmt.Errorf("$%s, $%s, $%s: %w", EnvCert, EnvKey, EnvCA, err)
	}
	return c, nil
}

// Load returns the configuration of a node that uses files. It requires TLS 1.3. An error names the
// file and what is wrong with it.
func Load(f Files) (*tls.Config, error) {
	switch {
	case f == Files{Logger: f.Logger}:
		return nil, errors.New("no certificate and no authority is named")
	case f.Cert != "" && f.Key == "":
		return nil, fmt.Errorf("the certificate %s needs its private key", f.Cert)
	case f.Key != "" && f.Cert == "":
		return nil, fmt.Errorf("the key %s needs its certificate", f.Key)
	}
	s := &source{files: f}
	marks := f.marks()
	in, err := f.read()
	if err != nil {
		return nil, err
	}
	s.state.Store(&state{in, marks})
	c := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: in.authorities}
	if f.Cert != "" {
		c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.now().cert, nil }
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return s.now().cert, nil }
		c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.now().accept, nil }
	}
	return c, nil
}

// contents is what the files held at one time.
type contents struct {
	cert        *tls.Certificate
	authorities *x509.CertPool
	accept      *tls.Config // of connections that others make
}

func (f *Files) read() (*contents, error) {
	in := new(contents)
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, err
		}
		in.authorities = x509.NewCertPool()
		if !in.authorities.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM form", f.CA)
		}
	}
	if f.Cert == "" {
		return in, nil
	}
	cert, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", f.Cert, f.Key, err)
	}
	in.cert = &cert
	in.accept = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}}
	if in.authorities != nil {
		in.accept.ClientCAs, in.accept.ClientAuth = in.authorities, tls.RequireAndVerifyClientCert
	}
	return in, nil
}

// mark distinguishes states of a file.
type mark struct {
	at   time.Time
	size int64
}

func (f *Files) marks() (m [3]mark) {
	for i, name := range []string{f.Cert, f.Key, f.CA} {
		if name == "" {
			continue
		}
		if info, err := os.Stat(name); err == nil {
			m[i] = mark{info.ModTime(), info.Size()}
		}
	}
	return m
}

// source gives what the files hold.
type source struct {
	files Files
	state atomic.Pointer[state]
}

// state is what the files held when they could last be used, and their marks.
type state struct {
	*contents
	marks [3]mark
}

// now returns what the files hold. If they were replaced, one of its concurrent callers logs that.
func (s *source) now() *contents {
	was, marks := s.state.Load(), s.files.marks()
	if marks == was.marks {
		return was.contents
	}
	log := cmp.Or(s.files.Logger, slog.Default())
	in, err := s.files.read()
	if err != nil {
		in = was.contents
	}
	switch {
	case !s.state.CompareAndSwap(was, &state{in, marks}):
	case err != nil:
		log.Warn("replaced certificate files cannot be used; the node goes on with the earlier ones", "err", err)
	default:
		log.Info("certificate files were replaced", "cert", s.files.Cert, "expires", in.cert.Leaf.NotAfter)
	}
	return in
}
