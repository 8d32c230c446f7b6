package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gormi/registry"
	"gormi/rmi"
)

const tellers = `
group @tellers spiffe://bank/teller "Head Teller"
allow @local   all         *
allow @tellers bind,rebind bank/*
deny  @known   lookup      bank/vault
`

func TestCheckPolicy(t *testing.T) {
	file := write(t, "policy", []byte(tellers))
	for _, c := range []struct {
		as, do, name string
		status       int
		want         string
	}{
		{"spiffe://bank/teller", "bind", "bank/alice", 0, "allow (line 4: allow @tellers bind,rebind bank/*)\n"},
		{"Head Teller", "rebind", "bank/alice", 0, "allow (line 4:"},
		{"spiffe://bank/teller", "bind", "shop", 1, "deny (no rule allows it)\n"},
		{"spiffe://bank/teller", "unbind", "bank/alice", 1, "deny (no rule allows it), but for a name that it holds"},
		{"spiffe://bank/teller", "lookup", "bank/vault", 1, "deny (line 5:"},
		{"anonymous", "lookup", "bank/alice", 1, "deny (no rule"},
		{"@local", "lookup", "bank/vault", 0, "allow (line 3:"},
		{"uid:1000", "lookup", "bank/vault", 1, "deny (line 5:"},
		{"uid:1000", "admin", "bank/vault", 0, "allow (line 3:"},
	} {
		status, stdout, stderr := once(t, "-check-policy", file, "-as", c.as, "-do", c.do, "-name", c.name)
		if status != c.status || !strings.HasPrefix(stdout, c.want) || stderr != "" {
			t.Errorf("%s %s %s: status %d, %q, %q; want %d, %q", c.as, c.do, c.name, status, stdout, stderr, c.status, c.want)
		}
	}
	if status, stdout, _ := once(t, "-check-policy", file); status != 0 || !strings.Contains(stdout, "rules: 3") {
		t.Errorf("status %d, %q", status, stdout)
	}
	broken := write(t, "broken", []byte("allow @local all *\nallow @local bnid *\n"))
	for _, args := range [][]string{{"-check-policy", broken}, {"-policy", broken, "-addr", "127.0.0.1:0"}, {"-policy", filepath.Join(t.TempDir(), "none"), "-addr", "127.0.0.1:0"}} {
		status, stdout, stderr := once(t, args...)
		want := broken + `:2:14: unknown word "bnid"`
		if strings.HasSuffix(args[1], "none") {
			want = args[1]
		}
		if status == 0 || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%v: status %d, %q, %q; want %q", args, status, stdout, stderr, want)
		}
	}
	for _, c := range []struct{ args, want string }{
		{"-as a -do bind -name b", "go with -check-policy"},
		{"-check-policy p -as a", "go together"},
		{"-check-policy p -as a -do bnid -name b", `"bnid"`},
		{"-check-policy p -as a -do all -name b", "one at a time"},
		{"-check-policy p -as a -do bind -name b//c", "b//c"},
	} {
		status, stdout, stderr := once(t, strings.Fields(c.args)...)
		if status != 2 || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: status %d, %q, %q", c.args, status, stdout, stderr)
		}
	}
}

// A SIGHUP has the policy read again. One that is broken is refused, and the one before stays.
func TestAPolicyIsReloaded(t *testing.T) {
	file := write(t, "policy", []byte("allow @local lookup *"))
	d := start(t, "-addr", "127.0.0.1:0", "-policy", file)
	n := rmi.NewNode(nil)
	defer n.Close()
	try := func() rmi.Kind {
		_, err := registry.Bind[echo](t.Context(), n, "rmi://"+d.addr+"/a", echoer{}, &registry.BindOptions{Relayed: true})
		return rmi.KindOf(err)
	}
	lookup := func() rmi.Kind {
		_, err := registry.LookupRef(t.Context(), n, "rmi://"+d.addr+"/none")
		return rmi.KindOf(err)
	}
	reload := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := d.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Skipf("no SIGHUP here: %v", err)
		}
	}
	if k := try(); k != rmi.KindDenied {
		t.Fatal(k)
	}
	reload("deny @local lookup *\nallow @local fly *")
	d.Logs(file + `:2:14: unknown word`)
	if k := lookup(); k != rmi.KindNotBound {
		t.Errorf("a broken policy is in force: %v", k)
	}
	reload("allow @local all *")
	d.Logs("policy reloaded")
	if k := try(); k != 0 {
		t.Error(k)
	}
	n.Close()
	if status := d.end(syscall.SIGTERM); status != 0 {
		t.Error(status)
	}
	log := d.Log()
	for _, want := range []string{`level=ERROR msg="policy refused" audit=true reason=`, "; the one before stays", `msg="policy reloaded" audit=true`, "rules: 1"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log says\n%s\nwant %s", log, want)
		}
	}
}
