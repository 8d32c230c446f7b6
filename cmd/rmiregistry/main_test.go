package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gormi/registry"
	"gormi/rmi"
	"gormi/rmi/rmitest/proctest"
)

// program is the daemon, built once.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "rmiregistry")
	if err == nil {
		program = filepath.Join(dir, "rmiregistry.exe")
		build := exec.Command("go", "build", "-o", program, ".")
		build.Stderr = os.Stderr
		err = build.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// daemon is a running rmiregistry.
type daemon struct {
	*proctest.Process
	t    *testing.T
	addr string
}

// start runs the daemon and waits until it is ready.
func start(t *testing.T, args ...string) *daemon {
	p := proctest.Start(t, proctest.Command(t.Context(), program, args...))
	line := p.Line()
	addr, ok := strings.CutPrefix(line, "rmiregistry listening on ")
	if !ok {
		t.Fatalf("the ready line is %q", line)
	}
	return &daemon{p, t, addr}
}

// end sends a signal and returns the exit status.
func (d *daemon) end(s os.Signal) int {
	if runtime.GOOS == "windows" {
		d.t.Skip("Windows has no signals to send to a process")
	}
	if err := d.Cmd.Process.Signal(s); err != nil {
		d.t.Fatal(err)
	}
	status := d.End()
	if rest := d.Seen[1:]; len(rest) > 0 {
		d.t.Errorf("after the ready line standard output has %q", rest)
	}
	return status
}

// once runs the daemon to its end.
func once(t *testing.T, args ...string) (status int, stdout, stderr string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

type echoFuncs struct {
	Echo func(ctx context.Context, s string) (string, error)
}

type echo interface {
	Echo(ctx context.Context, s string) (string, error)
}

type echoer struct{}

func (echoer) Echo(ctx context.Context, s string) (string, error) { return s, nil }

// use binds, looks up and calls through a registry.
func use(t *testing.T, url string) {
	t.Helper()
	ctx := t.Context()
	owner, err := rmi.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close()
	if _, err := registry.Bind[echo](ctx, owner, url+"/test/echo", echoer{}, nil); err != nil {
		t.Fatal(err)
	}
	caller := rmi.NewNode(nil)
	defer caller.Close()
	e, err := registry.Lookup[echoFuncs](ctx, caller, url+"/test/echo", nil)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := e.Echo(ctx, "hello"); s != "hello" || err != nil {
		t.Fatalf("got %q, %v", s, err)
	}
}

func TestTheDaemonServesUntilASignal(t *testing.T) {
	for _, s := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		d := start(t, "-addr", "127.0.0.1:0")
		if strings.HasSuffix(d.addr, ":0") || !strings.HasPrefix(d.addr, "127.0.0.1:") {
			t.Fatalf("it listens on %s", d.addr)
		}
		use(t, "rmi://"+d.addr)
		if status := d.end(s); status != 0 {
			t.Errorf("%v: status %d\n%s", s, status, d.Log())
		}
		if !strings.Contains(d.Log(), "level=INFO") || strings.Contains(d.Log(), "level=DEBUG") {
			t.Errorf("the log is\n%s", d.Log())
		}
	}
}

func TestTheDaemonOnAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rmi.sock")
	d := start(t, "-addr", path)
	if d.addr != path {
		t.Errorf("it listens on %s", d.addr)
	}
	use(t, "rmi://"+strings.ReplaceAll(path, "/", "%2F"))
	if status := d.end(syscall.SIGTERM); status != 0 {
		t.Errorf("status %d", status)
	}
}

func TestTheLogIsJSON(t *testing.T) {
	d := start(t, "-addr", "127.0.0.1:0", "-log-format", "json", "-v")
	use(t, "rmi://"+d.addr)
	if status := d.end(syscall.SIGTERM); status != 0 {
		t.Errorf("status %d", status)
	}
	var bound bool
	for line := range strings.Lines(d.Log()) {
		var record struct{ Level, Msg, Name, Ref string }
		if err := json.Unmarshal([]byte(line), &record); err != nil || record.Msg == "" {
			t.Errorf("%v: %s", err, line)
		}
		bound = bound || record.Level == "DEBUG" && record.Msg == "bound" && record.Name == "test/echo"
	}
	if !bound {
		t.Errorf("-v does not tell of bindings:\n%s", d.Log())
	}
	status, _, stderr := once(t, "-addr", d.addr+"x", "-log-format", "json")
	if err := json.Unmarshal([]byte(stderr), new(map[string]any)); status != 1 || err != nil {
		t.Errorf("status %d, %v:\n%s", status, err, stderr)
	}
}

func TestHelpAndVersion(t *testing.T) {
	for _, flag := range []string{"-h", "-help", "--help"} {
		status, stdout, stderr := once(t, flag)
		if status != 0 || !strings.HasPrefix(stdout, "Usage: rmiregistry") || stderr != "" {
			t.Errorf("%s: status %d, %q, %q", flag, status, stdout, stderr)
		}
		for _, want := range []string{"-addr", "127.0.0.1:1099", "-advertise", "-tls-cert", "-tls-key", "-tls-client-ca", "-insecure", "-max-lease", "-log-format", "-v\t", "-version"} {
			if !strings.Contains(stdout, want) {
				t.Errorf("%s does not tell of %s", flag, want)
			}
		}
	}
	status, stdout, stderr := once(t, "-version")
	if status != 0 || !regexp.MustCompile(`^rmiregistry \(GoRMI\) [^;]+; go\S+ \S+/\S+\n$`).MatchString(stdout) || stderr != "" {
		t.Errorf("status %d, %q, %q", status, stdout, stderr)
	}
}

// The version is that of a release, or says that it is none and which commit it is.
func TestWhatTheProgramWasBuiltFrom(t *testing.T) {
	const commit = "5964320976d1bc6449faf1973a9ef55f7f137c55"
	vcs := func(modified string) []debug.BuildSetting {
		return []debug.BuildSetting{{Key: "vcs.revision", Value: commit}, {Key: "vcs.time", Value: "2026-11-27T23:33:29Z"}, {Key: "vcs.modified", Value: modified}}
	}
	for what, c := range map[string]struct {
		version  string
		settings []debug.BuildSetting
		want     string
	}{
		"a release":                             {"v1.2.3", nil, "v1.2.3"},
		"a release, built in a clone":           {"v1.2.3", vcs("false"), "v1.2.3"},
		"a commit, installed":                   {"v0.0.0-20261127233329-5964320976d1", nil, "v0.0.0-20261127233329-5964320976d1"},
		"a clone":                               {"v0.0.0-20261127233329-5964320976d1", vcs("false"), "development version, commit 5964320976d1 of 2026-11-27"},
		"a clone with changes":                  {"v1.2.4-0.20261127233329-5964320976d1+dirty", vcs("true"), "development version, commit 5964320976d1 of 2026-11-27, with changes"},
		"a clone, of an older go command":       {"(devel)", vcs("false"), "development version, commit 5964320976d1 of 2026-11-27"},
		"go run, or a build without the commit": {"(devel)", nil, "development version, of no commit that is known"},
		"no module":                             {"", nil, "development version, of no commit that is known"},
	} {
		if got := built(&debug.BuildInfo{Main: debug.Module{Version: c.version}, Settings: c.settings}); got != c.want {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
	if got := built(nil); got != "development version, of no commit that is known" {
		t.Error(got)
	}
}

func TestWrongCommandLines(t *testing.T) {
	for _, c := range []struct {
		args   []string
		status int
		text   string
	}{
		{[]string{"-nonsense"}, 2, "-nonsense"},
		{[]string{"-addr", "127.0.0.1:0\r"}, 1, `127.0.0.1:0\r`},
		{[]string{"1099"}, 2, "-addr 127.0.0.1:1099"}, // as the JDK's takes its port
		{[]string{"-log-format", "xml"}, 2, "text or json"},
		{[]string{"-addr", ""}, 2, "-addr is empty"},
		{[]string{"-max-lease", "10ms"}, 2, "at least 1s"},
		{[]string{"-tls-cert", "x"}, 2, "-tls-key"},
		{[]string{"-tls-client-ca", "x"}, 2, "-tls-cert"},
		{[]string{"-addr", "nonsense"}, 1, "host:port"},
		{[]string{"-addr", "0.0.0.0:0"}, 1, "-insecure"},
		{[]string{"-addr", ":0"}, 1, "-tls-cert"},
		{[]string{"-addr", "127.0.0.1:0", "-advertise", "nonsense"}, 1, "host:port"},
		{[]string{"-tls-cert", "/no/such", "-tls-key", "/no/such"}, 1, "/no/such"},
	} {
		status, stdout, stderr := once(t, c.args...)
		if status != c.status || stdout != "" || !strings.Contains(stderr, c.text) {
			t.Errorf("%v: status %d, %q, %q", c.args, status, stdout, stderr)
		}
		if c.status == 2 && !strings.Contains(stderr, "Usage: rmiregistry") {
			t.Errorf("%v: no usage in %q", c.args, stderr)
		}
	}
}

func TestInsecureMustBeAskedFor(t *testing.T) {
	d := start(t, "-addr", "0.0.0.0:0", "-insecure", "-advertise", "127.0.0.1:1")
	_, port, err := net.SplitHostPort(d.addr)
	if err != nil {
		t.Fatal(err)
	}
	use(t, "rmi://127.0.0.1:"+port)
}

// greeter accepts connections and answers what comes in first.
func greeter(t *testing.T, answer func(got []byte) string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() { // ended by l.Close
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.SetDeadline(time.Now().Add(10 * time.Second))
			b := make([]byte, 64)
			n, _ := c.Read(b)
			io.WriteString(c, answer(b[:n]))
			c.Close()
		}
	}()
	return l.Addr().String()
}

func TestAPortThatIsTaken(t *testing.T) {
	node, err := rmi.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	java := greeter(t, func(got []byte) string {
		if bytes.Equal(got, []byte("JRMI\x00\x02K")) {
			return "\x4e\x00\x09127.0.0.1\x00\x00\x12\x34"
		}
		return ""
	})
	for _, c := range []struct{ what, addr, text string }{
		{"registry", start(t, "-addr", "127.0.0.1:0").addr, "another GoRMI registry has it"},
		{"node", node.Endpoint().Address(), "a GoRMI node that is no registry"},
		{"Java", java, "Java RMI registry"},
		{"web", web.Listener.Addr().String(), "HTTP"},
		{"web with TLS", secure.Listener.Addr().String(), "HTTP"}, // it tells strangers so
		{"nothing said", greeter(t, func([]byte) string { return "" }), "another program"},
	} {
		status, stdout, stderr := once(t, "-addr", c.addr)
		if status != 1 || stdout != "" || !strings.Contains(stderr, "cannot listen on "+c.addr) || !strings.Contains(stderr, c.text) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: status %d, %q, %q", c.what, status, stdout, stderr)
		}
	}
}
