package audit_test

import (
	"log/slog"
	"strings"
	"testing"

	"gormi/refs"
	"gormi/rmi/audit"
)

// The names of the attributes are what readers of logs rely on.
func TestAnEventIsARecordWithFixedNames(t *testing.T) {
	e := audit.Event{Kind: audit.CallDenied, Principal: "p", Node: refs.NodeID{1}, From: "a:1", Interface: "I", Method: "M", Name: "n", Holder: "h", Reason: "r"}
	var b strings.Builder
	log := slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	log.LogAttrs(t.Context(), e.Level(), string(e.Kind), e.Attrs()...)
	want := `level=INFO msg="call denied" audit=true principal=p node=` + e.Node.String() + ` from=a:1 interface=I method=M name=n holder=h reason=r` + "\n"
	if b.String() != want {
		t.Errorf("got  %swant %s", b.String(), want)
	}
	if n := len((&audit.Event{Kind: audit.NameTaken}).Attrs()); n != 1 {
		t.Errorf("%d attributes of an event about which nothing is known", n)
	}
	for kind, level := range map[audit.Kind]slog.Level{audit.ProtocolBroken: slog.LevelWarn, audit.PolicyRefused: slog.LevelError, audit.QuotaExceeded: slog.LevelInfo} {
		if got := (&audit.Event{Kind: kind}).Level(); got != level {
			t.Errorf("%s has level %v", kind, got)
		}
	}
}

func TestWhatAPeerChoseIsEscapedAndShortened(t *testing.T) {
	for given, want := range map[string]string{
		"plain, \"quoted\", ü":         "plain, \"quoted\", ü",
		"two\nlines":                   `two\nlines`,
		"\x1b[31mred":                  `\x1b[31mred`,
		"a \"b\"\x00":                  `a "b"\x00`,
		"no\xff utf-8":                 `no\xff utf-8`,
		"\u202eright to left":          `\u202eright to left`,
		strings.Repeat("x", 512):       strings.Repeat("x", 512),
		strings.Repeat("x", 513):       strings.Repeat("x", 512) + "…",
		strings.Repeat("x", 511) + "ü": strings.Repeat("x", 511) + "…",
		strings.Repeat("\x80", 600):    strings.Repeat(`\x80`, 508) + "…",
	} {
		e := audit.Event{Reason: given}
		if got := e.Attrs()[1].Value.String(); got != want {
			t.Errorf("%.40q: got %q, want %q", given, got, want)
		}
	}
}
