package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"gormi/registry"
	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// stage is a registry, a server and a gateway.
type stage struct {
	t      *testing.T
	ctx    context.Context
	at     string // the registry
	server *server
	web    *web
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, ctx: patient(t)}
	node, err := rmi.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { node.Close() })
	names, err := registry.Serve(t.Context(), node, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.at = names.URL("")
	s.serve()
	t.Cleanup(func() { s.server.shutdown() })
	s.web = s.gateway()
	return s
}

// serve starts a server, anew if one was there.
func (s *stage) serve() {
	s.t.Helper()
	var err error
	if s.server, err = newServer(s.ctx, name(s.at)); err != nil {
		s.t.Fatal(err)
	}
}

// gateway runs a gateway until the test ends.
func (s *stage) gateway() *web {
	s.t.Helper()
	l, err := listen("127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	node := newGatewayNode()
	w := newWeb(newGateway(node, name(s.at)), l)
	ctx, cancel := context.WithCancel(s.ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.run(ctx) }() // ends with ctx
	s.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Error("the gateway ended with", err)
		}
		node.Close()
	})
	return w
}

// request makes a request as the page would, with changes, and returns the answer, whose body is
// read.
func (s *stage) request(method, path, body string, change func(*http.Request)) (*http.Response, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.ctx, method, s.web.url()+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if method == "POST" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Origin", strings.TrimSuffix(s.web.url(), "/"))
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if change != nil {
		change(r)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	if strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") {
		return answer, "" // has no end
	}
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer, strings.TrimSpace(string(b))
}

// watcher is a page without a browser.
type watcher struct {
	t     *testing.T
	lines *bufio.Scanner
	ids   []string // of the shapes that it shows
	now   update   // the last one
}

func (s *stage) watch(w *web) *watcher {
	s.t.Helper()
	return watchAt(s.ctx, s.t, w.url())
}

// watchAt opens the page at a URL.
func watchAt(ctx context.Context, t *testing.T, url string) *watcher {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, "GET", url+"events", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	if got := answer.Header.Get("Content-Type"); answer.StatusCode != 200 || got != "text/event-stream" {
		t.Fatalf("/events answers %s, %s", answer.Status, got)
	}
	p := &watcher{t: t, lines: bufio.NewScanner(answer.Body)}
	p.lines.Buffer(nil, 1<<20)
	return p
}

// until takes updates until there is one that is good.
func (p *watcher) until(what string, good func() bool) {
	p.t.Helper()
	for p.lines.Scan() {
		text, ok := bytes.CutPrefix(p.lines.Bytes(), []byte("data: "))
		if !ok {
			continue
		}
		p.now = update{}
		if err := json.Unmarshal(text, &p.now); err != nil {
			p.t.Fatalf("%s: %v", text, err)
		}
		if p.now.Reset {
			p.ids = nil
		}
		for _, id := range p.now.Removed {
			p.ids = without(p.ids, id)
		}
		for _, g := range p.now.Added {
			p.ids = append(without(p.ids, g.ID), g.ID)
		}
		if good() {
			return
		}
	}
	p.t.Fatalf("the updates ended before %s: %v; the last was %+v", what, p.lines.Err(), p.now)
}

func without(ids []string, id string) (rest []string) {
	for _, other := range ids {
		if other != id {
			rest = append(rest, other)
		}
	}
	return rest
}

func (p *watcher) untilShapes(ids ...string) {
	p.t.Helper()
	p.until(fmt.Sprintf("it shows %v", ids), func() bool { return p.now.Online && fmt.Sprint(p.ids) == fmt.Sprint(ids) })
}

// draw draws a shape by HTTP and returns its id.
func (s *stage) draw() string {
	s.t.Helper()
	answer, body := s.request("POST", "shapes", `{"kind":"line","points":[[1,2],[3,4]],"colour":"#000000","width":2}`, nil)
	var d drawn
	if err := json.Unmarshal([]byte(body), &d); err != nil || answer.StatusCode != http.StatusCreated || d.ID == "" || d.Version == 0 {
		s.t.Fatalf("POST answers %s, %q", answer.Status, body)
	}
	return d.ID
}

func TestPagesSeeTheSame(t *testing.T) {
	s := newStage(t)
	ada := s.watch(s.web)
	ada.untilShapes()
	bob, cy := s.watch(s.web), s.watch(s.gateway()) // cy's page is another gateway's
	ada.until("two pages are open", func() bool { return ada.now.Pages == 2 })
	bob.until("two pages are open", func() bool { return bob.now.Reset && bob.now.Pages == 2 })
	cy.untilShapes()

	first := s.draw()
	for _, p := range []*watcher{ada, bob, cy} {
		p.untilShapes(first)
	}
	if g := ada.now.Added[0]; g.Kind != "line" || g.Colour != "#000000" || len(g.Points) != 2 || g.Points[1] != (Point{3, 4}) {
		t.Errorf("the shape is shown as %+v", g)
	}
	second := s.draw()
	late := s.watch(s.web)
	late.untilShapes(first, second)
	for _, p := range []*watcher{ada, bob, cy} {
		p.untilShapes(first, second)
	}
	if answer, body := s.request("DELETE", "shapes/"+first, "", nil); answer.StatusCode != http.StatusNoContent {
		t.Errorf("DELETE of a shape answers %s, %q", answer.Status, body)
	}
	for _, p := range []*watcher{ada, bob, cy, late} {
		p.untilShapes(second)
	}
	if answer, body := s.request("DELETE", "shapes/"+first, "", nil); answer.StatusCode != http.StatusNotFound {
		t.Errorf("DELETE again answers %s, %q", answer.Status, body)
	}
	if answer, body := s.request("DELETE", "shapes", "", nil); answer.StatusCode != http.StatusNoContent {
		t.Errorf("DELETE of all answers %s, %q", answer.Status, body)
	}
	for _, p := range []*watcher{ada, bob, cy, late} {
		p.untilShapes()
		if p.now.Version != 4 {
			t.Errorf("the version is %d, want 4", p.now.Version)
		}
	}
}

func TestServerRestarts(t *testing.T) {
	s := newStage(t)
	p := s.watch(s.web)
	p.untilShapes()
	old := s.draw()
	p.untilShapes(old)

	s.server.node.Close() // at once, as if it was killed
	p.until("the server is lost", func() bool { return !p.now.Online })
	if p.now.Why != errLost.Error() || len(p.ids) != 1 {
		t.Errorf("the page shows %q and %d shapes, want that the connection is lost and 1", p.now.Why, len(p.ids))
	}
	answer, body := s.request("POST", "shapes", `{"kind":"line","points":[[1,2],[3,4]],"colour":"#000000","width":2}`, nil)
	if answer.StatusCode != http.StatusServiceUnavailable || body != errOffline.Error() {
		t.Errorf("POST without a server answers %s, %q", answer.Status, body)
	}
	joined := s.watch(s.web) // shows what it was, and that it may not be so any more
	joined.until("the old board", func() bool { return !joined.now.Online && len(joined.ids) == 1 })

	s.server.shutdown()
	s.serve()
	for _, p := range []*watcher{p, joined} {
		p.untilShapes() // the new server's board
	}
	fresh := s.draw()
	for _, p := range []*watcher{p, joined} {
		p.untilShapes(fresh)
		if p.now.Version != 1 {
			t.Errorf("the version is %d, want 1", p.now.Version)
		}
	}
}

// TestConnectionCut: the server goes on, and so do its shapes and the callbacks; nobody sees that
// the connection was lost.
func TestConnectionCut(t *testing.T) {
	ctx := patient(t)
	network := rmitest.New(t)
	owner, client := network.Node(), network.Client()
	names, err := registry.Serve(ctx, owner, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := newBoard(owner)
	defer b.close()
	if _, err := registry.Bind[ShapeList](ctx, owner, names.URL("whiteboard"), b, nil); err != nil {
		t.Fatal(err)
	}
	draw(ctx, t, b, line(1, 2, 3, 4))
	g := newGateway(client, names.URL("whiteboard"))
	p, err := g.join()
	if err != nil {
		t.Fatal(err)
	}
	following, stop := context.WithCancel(ctx)
	var end sync.WaitGroup
	end.Go(func() { g.follow(following) })
	defer end.Wait()
	defer stop()
	seen := false
	next := func(want string, good func(u update) bool) {
		t.Helper()
		for {
			select {
			case text := <-p.updates:
				var u update
				if err := json.Unmarshal(text, &u); err != nil {
					t.Fatal(err)
				}
				if good(u) {
					return
				}
				if seen = seen || u.Online; seen && !u.Online {
					t.Fatalf("%s: a cut was noticed", text)
				}
				if len(u.Added)+len(u.Removed) > 0 {
					t.Fatalf("%s comes before %s", text, want)
				}
			case <-ctx.Done():
				t.Fatal("it does not happen that ", want)
			}
		}
	}
	next("the shape is seen", func(u update) bool { return u.Online && len(u.Added) == 1 && len(u.Removed) == 0 })
	for range 3 {
		network.Cut(owner, client)
		draw(ctx, t, b, line(1, 2, 3, 4))
		next("another shape is seen", func(u update) bool { return u.Online && len(u.Added) == 1 && len(u.Removed) == 0 })
	}
}

func TestNoServer(t *testing.T) {
	s := newStage(t)
	if err := s.server.shutdown(); err != nil {
		t.Fatal(err)
	}
	p := s.watch(s.gateway())
	p.until("it is told why", func() bool { return strings.Contains(p.now.Why, "its server does not run") })
	s.serve()
	p.untilShapes()
}

func TestSlowPageIsDropped(t *testing.T) {
	g := newGateway(nil, "")
	slow, err := g.join()
	if err != nil {
		t.Fatal(err)
	}
	fast, err := g.join()
	if err != nil {
		t.Fatal(err)
	}
	for range pageBacklog {
		g.mu.Lock()
		g.tell(new(update))
		g.mu.Unlock()
		<-fast.updates
	}
	for range slow.updates { // it was closed
	}
	if len(g.pages) != 1 || !g.pages[fast] {
		t.Errorf("%d pages are left, want the fast one", len(g.pages))
	}
	g.leave(slow) // as its handler does then
	g.leave(fast)
	if len(g.pages) != 0 {
		t.Errorf("%d pages are left", len(g.pages))
	}
}

func TestPagesAreBounded(t *testing.T) {
	s := newStage(t)
	for range maxPages {
		if _, err := s.web.gateway.join(); err != nil {
			t.Fatal(err)
		}
	}
	if answer, body := s.request("GET", "events", "", nil); answer.StatusCode != http.StatusServiceUnavailable || body != errPages.Error() {
		t.Errorf("one more page: %s, %q", answer.Status, body)
	}
}

// TestRefused: requests that other sites can have a browser make, and those that make no sense.
func TestRefused(t *testing.T) {
	s := newStage(t)
	p := s.watch(s.web)
	p.untilShapes()
	good := `{"kind":"line","points":[[1,2],[3,4]],"colour":"#000000","width":2}`
	header := func(k, v string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(k, v) }
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(s.web.url(), "http://"), ":")
	port = strings.TrimSuffix(port, "/")
	for _, c := range []struct {
		what, method, path, body string
		change                   func(*http.Request)
		want                     int
	}{
		{"as the page does", "GET", "", "", nil, 200},
		{"by another name of this machine", "GET", "", "", func(r *http.Request) {
			r.Host = "LOCALHOST:" + port
			r.Header.Del("Origin")
		}, 200},
		{"a rebound name", "GET", "", "", func(r *http.Request) { r.Host = "evil.example:" + port }, 421},
		{"a rebound name, a change", "POST", "shapes", good, func(r *http.Request) {
			r.Host = "evil.example:" + port
			r.Header.Set("Origin", "http://evil.example:"+port)
		}, 421},
		{"another port's name", "GET", "events", "", func(r *http.Request) { r.Host = "localhost:1" }, 421},
		{"no port", "GET", "", "", func(r *http.Request) { r.Host = "localhost" }, 421},
		{"another origin draws", "POST", "shapes", good, header("Origin", "http://evil.example"), 403},
		{"another port of this machine draws", "POST", "shapes", good, header("Origin", "http://127.0.0.1:1"), 403},
		{"a sandboxed page draws", "POST", "shapes", good, header("Origin", "null"), 403},
		{"another origin clears", "DELETE", "shapes", "", header("Origin", "https://evil.example"), 403},
		{"another site draws", "POST", "shapes", good, func(r *http.Request) {
			r.Header.Del("Origin")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}, 403},
		{"another origin listens", "GET", "events", "", header("Origin", "http://evil.example"), 403},
		{"another site listens", "GET", "events", "", func(r *http.Request) {
			r.Header.Del("Origin")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}, 403},
		{"a form draws", "POST", "shapes", good, header("Content-Type", "text/plain"), 415},
		{"too much", "POST", "shapes", `{"kind":"` + strings.Repeat("x", maxBody) + `"}`, nil, 413},
		{"too much behind it", "POST", "shapes", good + strings.Repeat(" ", maxBody), nil, 413},
		{"more behind it", "POST", "shapes", good + good, nil, 400},
		{"nothing", "POST", "shapes", "", nil, 400},
		{"no JSON", "POST", "shapes", "kind=line", nil, 400},
		{"a field too many", "POST", "shapes", `{"kind":"line","x":1}`, nil, 400},
		{"a number that is too large", "POST", "shapes", `{"kind":"line","points":[[1,2],[3,40000]],"colour":"#000000","width":2}`, nil, 400},
		{"a shape that the server refuses", "POST", "shapes", strings.Replace(good, "#000000", "red", 1), nil, 400},
		{"an unknown shape", "DELETE", "shapes/" + strings.Repeat("0", 24), "", nil, 404},
		{"an unknown path", "GET", "../main.go", "", nil, 404},
		{"another method", "PUT", "shapes", good, nil, 405},
	} {
		answer, body := s.request(c.method, c.path, c.body, c.change)
		if answer.StatusCode != c.want {
			t.Errorf("%s: %s, %q, want %d", c.what, answer.Status, body, c.want)
		}
		if csp := answer.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
			t.Errorf("%s: Content-Security-Policy is %q", c.what, csp)
		}
		if answer.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: others may read it", c.what)
		}
	}
	// Nothing came of that.
	p.untilShapes(s.draw())
	if p.now.Version != 1 {
		t.Errorf("the version is %d, want 1", p.now.Version)
	}
}

func TestListenOnLoopbackOnly(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.com:0", "localhost"} {
		if l, err := listen(addr); err == nil {
			l.Close()
			t.Errorf("-http %s is taken", addr)
		} else if !strings.Contains(err.Error(), "want ") {
			t.Errorf("-http %s: %v, want what to do", addr, err)
		}
	}
	for range 2 { // the second time the port is taken
		l, err := listen("")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
}
