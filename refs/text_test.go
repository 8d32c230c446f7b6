package refs_test

import (
	"encoding/json"
	"strings"
	"testing"

	"gormi/refs"
)

func TestTextForm(t *testing.T) {
	for text, r := range legal(t) {
		text = "rmi+ref://" + text
		got, err := r.MarshalText()
		if err != nil || string(got) != text {
			t.Errorf("written as\n%s (%v), want\n%s", got, err, text)
		}
		back, err := refs.Parse(text)
		if err != nil || back != r {
			t.Errorf("%s is read as %#v (%v)", text, back, err)
		}
	}
}

func TestJSONKeepsEveryField(t *testing.T) {
	for text, r := range legal(t) {
		b, err := json.Marshal(struct{ R refs.Ref }{r})
		if err != nil {
			t.Fatal(err)
		}
		var back struct{ R refs.Ref }
		if err := json.Unmarshal(b, &back); err != nil || back.R != r {
			t.Errorf("%s comes back as %v (%v)", text, back.R, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	const rest = "/1700000000000000000/9f3c5d7e11aa22bb/bank.Account/-"
	const tail = "/" + nodeText + rest
	const good = "rmi+ref://bank:1" + tail
	if _, err := refs.Parse(good); err != nil {
		t.Fatal(err)
	}
	for s, want := range map[string]string{
		"":                               "does not start with",
		"x":                              "does not start with",
		"rmi://localhost/bank/alice":     "does not start with",
		"RMI+REF://bank:1" + tail:        "does not start with",
		" " + good:                       "does not start with",
		"rmi+ref://":                     "six parts",
		"rmi+ref://bank:1":               "six parts",
		good + "/":                       "six parts",
		strings.Repeat("/", 1<<20):       "too long",
		good + strings.Repeat("/", 3900): "six parts",
		good + strings.Repeat("/", 5000): "too long",
		sample(t).String():               "left out",
		good + "?":                       "parameters end in",
		good + "?x":                      "parameters end in",
		good + "?completed":              "no IP host on loopback",
		good + "?completed=1":            "parameters end in",
		"rmi+ref://[::1]:1" + tail + "?completed&completed":               "parameters end in",
		"rmi+ref://[::1]:1" + tail + "?completed&":                        "parameters end in",
		"rmi+ref://[::1]:1" + tail + "?Completed":                         "parameters end in",
		good + "?via-completed":                                           "no node id",
		good + "?via=":                                                    "no @",
		good + "?via=@hub:1":                                              "no node id",
		good + "?via=-@hub:1":                                             "no node id",
		good + "?via=-@":                                                  "no node id",
		good + "?via=" + relayText + "@hub":                               "no port and is no unix socket",
		good + "?via=" + relayText + "@hub:0":                             "port",
		good + "?via=" + relayText + "@hub:1&completed":                   "parameters end in",
		good + "?via=" + relayText + "@hub:1&via=" + relayText + "@hub:1": "parameters end in",
		good + "?via=" + relayText + "@hub:1&via-completed":               "no IP host on loopback",
		good + "?via=" + relayText + "@%2Fx&via-completed":                "no IP host on loopback",
		good + "#x":                                                                "fingerprint",
		"rmi+ref://bank" + tail:                                                    "no port and is no unix socket",
		"rmi+ref://bank:0" + tail:                                                  "no port from 1",
		"rmi+ref://:0" + tail:                                                      "no port from 1",
		"rmi+ref://bank:01" + tail:                                                 "no port from",
		"rmi+ref://bank:70000" + tail:                                              "no port from",
		"rmi+ref://ba nk:1" + tail:                                                 "illegal",
		"rmi+ref://ba%6Ek:1" + tail:                                                "illegal",
		"rmi+ref://user@bank:1" + tail:                                             "illegal",
		"rmi+ref://@bank" + tail:                                                   "must be escaped",
		"rmi+ref://@bank:1" + tail:                                                 "not escaped",
		"rmi+ref://unix:@x" + tail:                                                 "port",
		"rmi+ref://%2fx" + tail:                                                    "escape",
		"rmi+ref://%2Fx%" + tail:                                                   "ends within",
		"rmi+ref://%2Fx%2" + tail:                                                  "ends within",
		"rmi+ref://%2F%78" + tail:                                                  "not needed",
		"rmi+ref://%2F%00" + tail:                                                  "not printable",
		"rmi+ref://%2Fx:1" + tail:                                                  "illegal",
		"rmi+ref://%62ank" + tail:                                                  "not needed",
		"rmi+ref://::1:1" + tail:                                                   "without brackets",
		"rmi+ref://[fe80::1%eth0]:1" + tail:                                        "%25",
		"rmi+ref://[fe80::1%25e%20]:1" + tail:                                      "zone",
		"rmi+ref://bank:1/" + rest:                                                 "no node id",
		"rmi+ref://bank:1/x" + rest:                                                "no node id",
		"rmi+ref://bank:1/00000000-0000-0000-0000-000000000000" + rest:             "is written -",
		"rmi+ref://bank:1/" + strings.ToUpper(nodeText) + rest:                     "no node id",
		"rmi+ref://bank:1/-//9f3c5d7e11aa22bb/x/-":                                 "no time",
		"rmi+ref://bank:1/-/+1/9f3c5d7e11aa22bb/x/-":                               "no time",
		"rmi+ref://bank:1/-/01/9f3c5d7e11aa22bb/x/-":                               "no time",
		"rmi+ref://bank:1/-/-0/9f3c5d7e11aa22bb/x/-":                               "no time",
		"rmi+ref://bank:1/-/9223372036854775808/9f3c5d7e11aa22bb/x/-":              "no time",
		"rmi+ref://bank:1/-/0/9F3C5D7E11AA22BB/x/-":                                "object number",
		"rmi+ref://bank:1/-/0/9f3c5d7e11aa22b/x/-":                                 "object number",
		"rmi+ref://bank:1/-/0/09f3c5d7e11aa22bb/x/-":                               "object number",
		"rmi+ref://bank:1/-/0/+f3c5d7e11aa22bb/x/-":                                "object number",
		"rmi+ref://bank:1/-/0/9f3c5d7e11aa22bb/a b/-":                              "must be escaped",
		"rmi+ref://bank:1/-/0/9f3c5d7e11aa22bb/a%0Ab/-":                            "not printable",
		"rmi+ref://bank:1/-/0/9f3c5d7e11aa22bb/%FF/-":                              "not printable",
		"rmi+ref://bank:1/-/0/9f3c5d7e11aa22bb/%E2%80%AE/-":                        "not printable",
		"rmi+ref://bank:1/-/0/9f3c5d7e11aa22bb/é/-":                                "must be escaped",
		"rmi+ref://bank:1/-/0/9f3c5d7e11aa22bb/%61/-":                              "not needed",
		"rmi+ref://bank:1/-/0/9f3c5d7e11aa22bb/%zz/-":                              "escape",
		"rmi+ref://bank:1/-/0/9f3c5d7e11aa22bb/" + strings.Repeat("x", 256) + "/-": "more than 255",
		"rmi+ref://bank:1/-/0/9f3c5d7e11aa22bb/x/":                                 "fingerprint",
		"rmi+ref://bank:1/-/0/9f3c5d7e11aa22bb/x/" + printText[1:]:                 "fingerprint",
		"rmi+ref://bank:1/-/0/9f3c5d7e11aa22bb/x/" + printText + "0":               "fingerprint",
		"rmi+ref://bank:1/-/0/9f3c5d7e11aa22bb/x/x" + printText[1:]:                "fingerprint",
		"rmi+ref://bank:1/-/0/9f3c5d7e11aa22bb/x/" + strings.ToUpper(printText):    "fingerprint",
		"rmi+ref://bank:1/-/0/9f3c5d7e11aa22bb/x/" + strings.Repeat("0", 32):       "is written -",
	} {
		r, err := refs.Parse(s)
		if err == nil {
			t.Errorf("%.200q is read as %v", s, r)
			continue
		}
		if !r.IsZero() {
			t.Errorf("%.200q: a value beside the error: %v", s, r)
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%.200q: %v; want %q in it", s, err, want)
		}
		if strings.Contains(strings.ToLower(err.Error()), "9f3c5d7e11") {
			t.Errorf("the error reveals the object number: %v", err)
		}
	}
	r := sample(t)
	if err := r.UnmarshalText([]byte("x")); err == nil || r != sample(t) {
		t.Errorf("UnmarshalText fails with %v and leaves %v", err, r)
	}
}

// illegal are references that no form can hold.
func illegal(t testing.TB) map[string]refs.Ref {
	return map[string]refs.Ref{
		"host":                  changed(t, func(r *refs.Ref) { r.Host = "a b" }),
		"long host":             changed(t, func(r *refs.Ref) { r.Host = strings.Repeat("a.", 200) }),
		"host without port":     changed(t, func(r *refs.Ref) { r.Port = 0 }),
		"socket with port":      changed(t, func(r *refs.Ref) { r.Host = "/x" }),
		"interface":             changed(t, func(r *refs.Ref) { r.Interface.Name = "a\n" }),
		"long interface":        changed(t, func(r *refs.Ref) { r.Interface.Name = strings.Repeat("x", 256) }),
		"completed name":        changed(t, func(r *refs.Ref) { r.Completed = true }),
		"completed blank":       changed(t, func(r *refs.Ref) { r.Host, r.Completed = "", true }),
		"completed socket":      changed(t, func(r *refs.Ref) { r.Endpoint, r.Completed = at("/x", 0), true }),
		"relay without node":    changed(t, func(r *refs.Ref) { r.Via.Endpoint = at("hub", 1) }),
		"completed, no relay":   changed(t, func(r *refs.Ref) { r.Via.Completed = true }),
		"relay host":            changed(t, func(r *refs.Ref) { r.Via = refs.Via{Node: r.Node, Endpoint: at("a b", 1)} }),
		"relay without port":    changed(t, func(r *refs.Ref) { r.Via = refs.Via{Node: r.Node, Endpoint: at("hub", 0)} }),
		"completed relay":       changed(t, func(r *refs.Ref) { r.Via = refs.Via{Node: r.Node, Endpoint: at("hub", 1), Completed: true} }),
		"completed blank relay": changed(t, func(r *refs.Ref) { r.Via = refs.Via{Node: r.Node, Endpoint: at("", 1), Completed: true} }),
	}
}

func TestIllegalReferencesAreNotWritten(t *testing.T) {
	for name, r := range illegal(t) {
		if b, err := r.AppendText([]byte("x")); err == nil || string(b) != "x" {
			t.Errorf("%s: text %q, %v", name, b, err)
		}
		if b, err := r.AppendBinary([]byte("x")); err == nil || string(b) != "x" {
			t.Errorf("%s: binary %q, %v", name, b, err)
		}
	}
}
