package transport

import (
	"crypto/tls"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestWhatACarrierCanDo(t *testing.T) {
	connected := func(network, address string) net.Conn {
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial(network, l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close(); l.Close() })
		return c
	}
	tcp, unix := connected("tcp", "127.0.0.1:0"), connected("unix", filepath.Join(t.TempDir(), "s"))
	pipe, _ := net.Pipe()
	secure := tls.Client(tcp, &tls.Config{})
	// Sockets of this system are read when they are ready, or in the usual way.
	socket, closes := carry(tcp, nil).polled != nil, closeByReader
	if !socket {
		closes = closeAtOnce
	}
	type can struct {
		tls, polled, try, half, vectored, lossy bool
		closes                                  closeMode
	}
	for name, c := range map[string]struct {
		carrier
		want can
	}{
		"tcp":                 {carry(tcp, nil), can{polled: socket, try: socket, half: true, vectored: true, closes: closes}},
		"unix":                {carry(unix, nil), can{polled: socket, try: socket, half: true, vectored: true, closes: closes}},
		"TLS":                 {carry(tcp, secure), can{tls: true, half: true}},
		"TLS of a network's":  {carry(secure, nil), can{tls: true, half: true}},
		"neither":             {carry(pipe, nil), can{}},
		"lossy":               {carry(lossyConn{pipe}, nil), can{lossy: true, closes: closeBeside}},
		"with its own writes": {carry(trying{pipe}, nil), can{try: true}},
	} {
		got := can{c.tls != nil, c.polled != nil, c.try != nil, c.half != nil, c.vectored, c.lossy, c.closes}
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
		if c.tls != nil && (c.raw != tcp || c.conn != secure) {
			t.Errorf("%s: the layers are %T over %T", name, c.conn, c.raw)
		}
	}
}

type trying struct{ net.Conn }

func (trying) TryWrite(b []byte) (int, error) { return 0, nil }

// sources are the files of this package, without tests and whatever the system.
func sources(t *testing.T) map[string]*ast.File {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]*ast.File)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = f
	}
	return files
}

// The comment of carrier lists the functions that behave differently over datagrams.
func TestALossyCarrierChangesWhatIsListed(t *testing.T) {
	uses, listed := make(map[string]bool), make(map[string]bool)
	for _, f := range sources(t) {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil || d.Body == nil { // carry sets it
					continue
				}
				star, _ := d.Recv.List[0].Type.(*ast.StarExpr)
				ast.Inspect(d.Body, func(n ast.Node) bool {
					if x, ok := n.(*ast.SelectorExpr); ok && x.Sel.Name == "lossy" {
						uses[star.X.(*ast.Ident).Name+"."+d.Name.Name] = true
					}
					return true
				})
			case *ast.GenDecl:
				if spec, ok := d.Specs[0].(*ast.TypeSpec); ok && spec.Name.Name == "carrier" {
					_, list, _ := strings.Cut(d.Doc.Text(), "\n  - ")
					for _, name := range regexp.MustCompile(`\b[a-zA-Z]+\.[a-zA-Z]+\b`).FindAllString(list, -1) {
						listed[name] = true
					}
				}
			}
		}
	}
	delete(listed, "order.go")
	if !maps.Equal(uses, listed) {
		t.Errorf("what differs on a lossy carrier: %v\nlisted: %v", slices.Sorted(maps.Keys(uses)), slices.Sorted(maps.Keys(listed)))
	}
}

// Only carry asks what a connection is, once.
func TestOnlyACarrierAsksWhatAConnectionIs(t *testing.T) {
	ofConns := regexp.MustCompile(`^(net|tls|syscall)\.`)
	for name, f := range sources(t) {
		if name == "carrier.go" || name == "socket_unix.go" {
			continue
		}
		ask := func(e ast.Expr) {
			if star, ok := e.(*ast.StarExpr); ok {
				e = star.X
			}
			switch e := e.(type) {
			case *ast.InterfaceType:
				t.Errorf("%s asks for an interface without a name", name)
			case *ast.SelectorExpr:
				if x, ok := e.X.(*ast.Ident); ok && ofConns.MatchString(x.Name+".") {
					t.Errorf("%s asks for %s.%s", name, x.Name, e.Sel.Name)
				}
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.TypeAssertExpr:
				if n.Type != nil {
					ask(n.Type)
				}
			case *ast.TypeSwitchStmt:
				for _, c := range n.Body.List {
					for _, e := range c.(*ast.CaseClause).List {
						ask(e)
					}
				}
			}
			return true
		})
	}
}
