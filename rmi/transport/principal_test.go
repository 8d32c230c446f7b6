package transport

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net/url"
	"testing"
)

func TestTheNameInACertificate(t *testing.T) {
	uri := func(s string) *url.URL {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	for want, c := range map[string]*x509.Certificate{
		"spiffe://bank/teller": {URIs: []*url.URL{uri("spiffe://bank/teller"), uri("x:y")}, DNSNames: []string{"d"}, Subject: pkix.Name{CommonName: "c"}},
		"bank.example":         {DNSNames: []string{"bank.example", "other"}, Subject: pkix.Name{CommonName: "c"}},
		"teller":               {Subject: pkix.Name{CommonName: "teller"}},
	} {
		if got := nameIn(c); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	// A name that reads like a user of this machine, or like nobody, does not count.
	for _, c := range []*x509.Certificate{
		{}, {URIs: []*url.URL{uri("uid:0")}}, {URIs: []*url.URL{uri("/relative")}}, {DNSNames: []string{"uid:0"}}, {DNSNames: []string{""}},
		{Subject: pkix.Name{CommonName: "uid:0"}}, {Subject: pkix.Name{CommonName: "spiffe://bank/teller"}}, {DNSNames: []string{"anonymous"}},
	} {
		if got := nameIn(c); got != Anonymous {
			t.Errorf("%v, %v, %v: %q", c.URIs, c.DNSNames, c.Subject, got)
		}
	}
}
