package main

import (
	"flag"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"gormi/rmi"
	generatedapi "gormi/rmi/bench/internal/generated"
	reflectedapi "gormi/rmi/bench/internal/reflected"
)

// The test's binary takes the roles of the processes that it starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "-role" {
		main()
		return
	}
	code := m.Run()
	javaClean()
	os.Exit(code)
}

func parsed(args ...string) (options, error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	return parse(f, args)
}

func TestFlags(t *testing.T) {
	for _, c := range []struct {
		args string
		want func(o options) bool
	}{
		{"", func(o options) bool {
			return o.rounds == 5 && o.dur == 500*time.Millisecond && len(o.suites) == 3 && !o.pin
		}},
		{"-quick", func(o options) bool { return o.rounds == 1 && o.dur < 100*time.Millisecond }},
		{"-quick -rounds 3 -dur 1s", func(o options) bool { return o.rounds == 3 && o.dur == time.Second }},
		{"-suite jdk", func(o options) bool { return slices.Equal(o.suites, []string{"jdk"}) }},
		{"-callers 1,64", func(o options) bool { return slices.Equal(o.callers, []int{1, 64}) }},
		{"-systems gormi*,net/rpc", func(o options) bool {
			return o.wantsSystem("gormi") && o.wantsSystem("gormi-reflect") && o.wantsSystem("net/rpc") && !o.wantsSystem("grpc")
		}},
		{"-works echo*,int[]", func(o options) bool {
			return o.wantsWork("echo1m") && o.wantsWork("int[]") && !o.wantsWork("int") && !o.wantsWork("null")
		}},
		{"-readme x", func(o options) bool {
			p := o.passes()
			return len(p) == 2 && p[0].pin && !p[1].pin && p[0].only(work{callers: 1}) && !p[1].only(work{callers: 1}) &&
				!slices.Contains(p[0].suites, "fanout") && !slices.Contains(p[1].suites, "jdk")
		}},
	} {
		o, err := parsed(strings.Fields(c.args)...)
		if err != nil || !c.want(o) {
			t.Errorf("%s: %+v, %v", c.args, o, err)
		}
	}
	for _, args := range []string{"-suite nosuch", "-systems nosuch", "-callers 0", "-callers x", "-rounds 0", "-dur -1s", "more", "-nosuch"} {
		if _, err := parsed(strings.Fields(args)...); err == nil {
			t.Errorf("%s: no error", args)
		}
	}
}

// What is compared must be the same: only the stubs may differ.
func TestTwins(t *testing.T) {
	equal := func(name string, a *rmi.Description, errA error, b *rmi.Description, errB error) {
		t.Helper()
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if a.Fingerprint() != b.Fingerprint() {
			t.Errorf("%s of the two packages differ:\n%v\n%v", name, a, b)
		}
	}
	a, errA := rmi.Describe[generatedapi.Bench]()
	b, errB := rmi.Describe[reflectedapi.Bench]()
	equal("Bench", a, errA, b, errB)
	a, errA = rmi.Describe[generatedapi.JDK]()
	b, errB = rmi.Describe[reflectedapi.JDK]()
	equal("JDK", a, errA, b, errB)
}
