package refs_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gormi/refs"
)

// leaks looks for the secret object number in any base and case that package fmt knows, and as
// hexadecimal of its own digits.
func leaks(s string) bool {
	for _, verb := range []string{"%d", "%x", "%X", "%o", "%b", "%U", "%e", "%g"} {
		digits := fmt.Sprintf(verb, uint64(secret))
		if verb == "%e" || verb == "%g" {
			digits = fmt.Sprintf(verb, float64(secret))
		}
		if strings.Contains(s, digits) || strings.Contains(strings.ToLower(s), fmt.Sprintf("%x", digits)) {
			return true
		}
	}
	return false
}

func TestNoVerbRevealsTheObjectNumber(t *testing.T) {
	r := changed(t, func(r *refs.Ref) {
		r.Via = refs.Via{Node: node(t, relayText), Endpoint: refs.Endpoint{Host: "hub", Port: 1}}
	})
	type holder struct {
		Ref refs.Ref
		ID  refs.ID
		Num refs.ObjNum
		Ptr *refs.Ref
	}
	values := []any{r, &r, r.ID, &r.ID, r.Object, []refs.Ref{r}, []any{r, r.ID, r.Object}, holder{r, r.ID, r.Object, &r}, &holder{r, r.ID, r.Object, &r},
		map[refs.ID]refs.Ref{r.ID: r}, map[refs.ObjNum]int{r.Object: 1}, [1]refs.ObjNum{r.Object}}
	for _, v := range values {
		for _, flags := range []string{"", "+", "#", "-", " ", "0", "20", ".3", "#+ 030.20"} {
			for verb := rune(' '); verb < 0x7f; verb++ {
				if verb == 'p' || verb == 'w' || strings.ContainsRune("+-# 0123456789.*[%", verb) {
					continue // %p and %w of these are mistakes that vet reports, the rest are no verbs
				}
				if got := fmt.Sprintf("%"+flags+string(verb), v); leaks(got) {
					t.Errorf("%%%s%c of %T: %s", flags, verb, v, got)
				}
			}
		}
		for _, got := range []string{fmt.Sprint(v), fmt.Sprintln(v), fmt.Errorf("%v", v).Error()} {
			if leaks(got) {
				t.Errorf("%T: %s", v, got)
			}
		}
	}
}

func TestNoLogRevealsTheObjectNumber(t *testing.T) {
	r := sample(t)
	var b bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
		log := slog.New(h)
		log.Info("m", "ref", r, "ptr", &r, "id", r.ID, "object", r.Object, slog.Group("g", "ref", r), "text", fmt.Sprint(r))
		log.With("ref", r).WithGroup("g").Info(r.String(), "id", &r.ID)
	}
	if leaks(b.String()) {
		t.Errorf("the log has it:\n%s", b.String())
	}
	if !strings.Contains(b.String(), "bank.example:7000/6ba7b810/…/bank.Account") {
		t.Errorf("the log does not describe the reference:\n%s", b.String())
	}
}

func TestStringsAreForPeople(t *testing.T) {
	via := refs.Via{Node: node(t, relayText), Endpoint: refs.Endpoint{Host: "fe80::1%eth0", Port: 7001}}
	for want, v := range map[string]fmt.Stringer{
		"rmi+ref://bank.example:7000/6ba7b810/…/bank.Account": sample(t),
		"rmi+ref:///-/0/": refs.Ref{},
		"rmi+ref://localhost:1099/-/1/registry.Registry": refs.Ref{
			Endpoint: at("localhost", 1099), ID: refs.ID{Object: refs.RegistryObject}, Interface: refs.Interface{Name: "registry.Registry"}},
		"rmi+ref:///6ba7b810/…/bank.Account?via=1b4e28ba@[fe80::1%25eth0]:7001": changed(t, func(r *refs.Ref) { r.Endpoint, r.Via = refs.Endpoint{}, via }),
		"rmi+ref://%2Frun%2Fx.sock/6ba7b810/…/func(int64) (string)":             changed(t, func(r *refs.Ref) { r.Endpoint, r.Interface.Name = at("/run/x.sock", 0), "func(int64) (string)" }),
		// Values that no parser gives must not harm a terminal either.
		"rmi+ref://%1B%5B31m:1/6ba7b810/…/a%0Ab": changed(t, func(r *refs.Ref) { r.Endpoint, r.Interface.Name = at("\x1b[31m", 1), "a\nb" }),
		"6ba7b810/2023-11-14T22:13:20Z/…":        sample(t).ID,
		"-/-/1":                                  refs.ID{Object: 1},
		"…":                                      refs.ReservedObjects,
		"65535":                                  refs.ReservedObjects - 1,
	} {
		if got := v.String(); got != want {
			t.Errorf("prints %q, want %q", got, want)
		}
	}
}
