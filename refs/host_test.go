package refs_test

import (
	"strings"
	"testing"

	"gormi/refs"
)

func TestValidHost(t *testing.T) {
	label := strings.Repeat("a", 63)
	longest := label + "." + label + "." + label + "." + label[:61] // 253 bytes
	for _, host := range []string{
		"a", "localhost", "bank.example", "bank.example.", "BANK.Example", "my_host", "_srv._tcp.bank", "a-b", "xn--bcher-kva.example",
		"1.example", "3com", "example.3com", "0xg", "1.2.3.4", "127.0.0.1", "0.0.0.0", "255.255.255.255",
		"::", "::1", "fe80::1", "fe80::1%eth0", "fe80::1%3", "fe80::1%en_0.1", "::ffff:1.2.3.4", "2001:db8::8:800:200c:417a",
		label + ".x", longest, longest + ".",
		"/x", "/run/gormi.sock", "/run/my dir/é.sock", "/" + strings.Repeat("x", 106), "@x", "@/x", "@a b", "@" + strings.Repeat("x", 106),
	} {
		if err := refs.ValidHost(host); err != nil {
			t.Errorf("%q: %v", host, err)
		}
	}
	for host, want := range map[string]string{
		"":                               "empty",
		".":                              "empty label",
		"..":                             "empty label",
		".a":                             "empty label",
		"a..b":                           "empty label",
		"a.b..":                          "empty label",
		"-a":                             "starts or ends",
		"a-":                             "starts or ends",
		"a.-b.c":                         "starts or ends",
		label + "a":                      "longer than 63",
		longest + "a":                    "254 bytes",
		strings.Repeat("a", 256):         "more than 255",
		strings.Repeat("a.", 1<<20):      "more than 255",
		"a b":                            "illegal character",
		" a":                             "illegal character",
		"a\n":                            "illegal character",
		"a\x00b":                         "illegal character",
		"a\x1b[31m":                      "illegal character",
		"a\x7f":                          "illegal character",
		"user@host":                      "illegal character",
		"a/b":                            "illegal character",
		`a\b`:                            "illegal character",
		"a%b":                            "illegal character",
		"a?b":                            "illegal character",
		"a#b":                            "illegal character",
		"[::1]":                          "without port and brackets",
		"bücher.example":                 "xn--",
		"a\u202eb":                       "xn--",
		"a\xff":                          "xn--",
		"host:7000":                      "without port and brackets",
		"1.2.3.4:5":                      "without port and brackets",
		":":                              "IPv6",
		":::":                            "IPv6",
		"fe80::1%":                       "IPv6",
		"fe80::1%a b":                    "zone",
		"fe80::1%a/b":                    "zone",
		"fe80::1%\n":                     "zone",
		"fe80::1%[":                      "zone",
		"::1%" + strings.Repeat("z", 65): "zone",
		"1.2.3":                          "no IPv4 address",
		"1.2.3.4.5":                      "no IPv4 address",
		"1.2.3.256":                      "no IPv4 address",
		"01.2.3.4":                       "no IPv4 address",
		"1.2.3.4.":                       "no IPv4 address",
		"127.1":                          "no IPv4 address",
		"2130706433":                     "no IPv4 address",
		"0x7f.0.0.0x1":                   "no IPv4 address",
		"0x":                             "no IPv4 address",
		"example.0X7F":                   "no IPv4 address",
		"/":                              "names no unix socket",
		"@":                              "names no unix socket",
		"//x":                            "not the shortest",
		"/a/../b":                        "not the shortest",
		"/a/./b":                         "not the shortest",
		"/a/":                            "not the shortest",
		"/a\x00b":                        "not printable",
		"/a\nb":                          "not printable",
		"/\xff":                          "not printable",
		"/a\u202eb":                      "not printable",
		"@\x00":                          "not printable",
		"/" + strings.Repeat("x", 107):   "more than 107",
		"@" + strings.Repeat("x", 107):   "more than 107",
	} {
		err := refs.ValidHost(host)
		if err == nil {
			t.Errorf("%.80q is taken for legal", host)
			continue
		}
		text := err.Error()
		if !strings.Contains(text, want) {
			t.Errorf("%.80q: %s; want %q in it", host, text, want)
		}
		if len(text) > 600 || strings.ContainsAny(text, "\x00\n\x1b\x7f") || strings.Contains(text, "\u202e") {
			t.Errorf("%.80q: the error is not fit for a terminal: %.1000q", host, text)
		}
	}
}
