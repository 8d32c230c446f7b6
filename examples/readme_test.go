package examples

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"gormi/registry"
	"gormi/rmi"
)

// fence finds the README's code blocks that name the file they belong in.
var fence = regexp.MustCompile("(?s)```go file=(\\S+)\n(.*?)```")

// TestReadmeModuleFromZero follows "Your own module, from zero" word for word,
// with the files that the README shows, and runs what comes of it.
func TestReadmeModuleFromZero(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the README's lines are for a POSIX shell")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	files := fence.FindAllStringSubmatch(string(readme), -1)
	if len(files) != 3 {
		t.Fatalf("the README shows %d files, not interface, server and client", len(files))
	}
	parent := t.TempDir()
	if err := os.Symlink(root, filepath.Join(parent, "gormi")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	shell := func(dir, line string) {
		t.Helper()
		if !bytes.Contains(readme, []byte(line)) {
			t.Fatalf("the README does not have the line %q", line)
		}
		cmd := exec.CommandContext(ctx, "sh", "-c", line)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	dir := filepath.Join(parent, "bank")
	shell(parent, "mkdir bank && cd bank")
	shell(dir, "go mod init example.com/bank")
	shell(dir, "go mod edit -replace gormi=../gormi && go get gormi/rmi")
	shell(dir, "mkdir server client")
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(dir, f[1]), []byte(f[2]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	shell(dir, "go mod tidy")
	bin := t.TempDir()
	build := exec.CommandContext(ctx, "go", "build", "-o", bin, "./...")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if !rmiProxiesInterfaces(t) {
		t.Skip("built, but not run: the README's interface needs a run-time proxy, which this build has not")
	}

	// The registry of the README, on a port of its own.
	node, err := rmi.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	reg, err := registry.Serve(ctx, node, nil)
	if err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "RMI_REGISTRY="+strings.TrimSuffix(reg.URL("x"), "/x"))

	server := exec.CommandContext(ctx, filepath.Join(bin, "server"))
	server.Env, server.Stderr = env, os.Stderr
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err != nil || line != "bank/alice is bound\n" {
		t.Fatalf("the server says %q, %v", line, err)
	}
	client := exec.CommandContext(ctx, filepath.Join(bin, "client"))
	client.Env = env
	said, err := client.CombinedOutput()
	if err != nil || !strings.Contains(string(said), "the balance is now 100") || !strings.Contains(string(said), "deposited; balance 100") {
		t.Errorf("the client says %v:\n%s", err, said)
	}
	if err := server.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(lines)
	if err := server.Wait(); err != nil {
		t.Errorf("the server ended with %v after Ctrl-C:\n%s", err, rest)
	}
	if reg.Len() != 0 {
		t.Errorf("%d names are bound after the server ended in good order", reg.Len())
	}
}

// rmiProxiesInterfaces reports whether this build has run-time proxies.
func rmiProxiesInterfaces(t *testing.T) bool {
	t.Helper()
	type probe interface{ Probe(context.Context) error }
	n := rmi.NewNode(nil)
	defer n.Close()
	h, err := rmi.Export[probe](n, probed{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	other := rmi.NewNode(nil)
	defer other.Close()
	_, err = rmi.Resolve[probe](other, h.Ref(), nil)
	return err == nil
}

type probed struct{}

func (probed) Probe(context.Context) error { return nil }
