//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// chromium is a browser without windows, driven by the Chrome DevTools Protocol: JSON messages,
// each with a zero byte behind it, on a pair of pipes.
type chromium struct {
	t   *testing.T
	ctx context.Context
	in  io.WriteCloser

	mu       sync.Mutex // guards the fields below
	last     int
	waiting  map[int]chan<- message
	gone     bool
	problems []string // that pages reported: exceptions, failed loads, breaches of the content security policy
}

type message struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// startChromium starts the browser, or skips the test if there is none.
func startChromium(ctx context.Context, t *testing.T) *chromium {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium is found: apt-get install chromium")
	}
	profile, err := os.MkdirTemp("", "whiteboard-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	fromUs, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, toUs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-extensions", "--hide-scrollbars",
		"--remote-debugging-pipe", "--user-data-dir="+profile, "about:blank")
	cmd.ExtraFiles = []*os.File{fromUs, toUs} // 3 and 4, as it wants them
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	fromUs.Close()
	toUs.Close()
	if err != nil {
		t.Fatal(err)
	}
	c := &chromium{t: t, ctx: ctx, in: in, waiting: make(map[int]chan<- message)}
	read := make(chan struct{})
	go func() { // ends with the browser
		defer close(read)
		c.read(out)
	}()
	stop := context.AfterFunc(ctx, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	t.Cleanup(func() {
		in.Close() // asks it to end
		<-read
		cmd.Wait()
		stop()
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // its children, if any are left
		out.Close()
		if err := os.RemoveAll(profile); err != nil {
			t.Log(err) // a child that is just ending still wrote
		}
		for _, p := range c.problems {
			t.Error("in the browser:", p)
		}
	})
	return c
}

func (c *chromium) read(out io.Reader) {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.gone = true
		for _, answer := range c.waiting {
			close(answer)
		}
	}()
	for r := bufio.NewReader(out); ; {
		b, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if err := json.Unmarshal(b[:len(b)-1], &m); err != nil {
			m = message{Method: "Log.entryAdded", Params: json.RawMessage(fmt.Sprintf("%q", err.Error()))}
		}
		c.mu.Lock()
		switch {
		case m.Method == "Runtime.exceptionThrown" || m.Method == "Log.entryAdded" && !strings.Contains(string(m.Params), "ERR_CONNECTION_REFUSED"):
			c.problems = append(c.problems, string(m.Params))
		case c.waiting[m.ID] != nil:
			c.waiting[m.ID] <- m
			delete(c.waiting, m.ID)
		}
		c.mu.Unlock()
	}
}

// call has the browser do something. result may be nil.
func (c *chromium) call(session, method string, params, result any) error {
	p, err := json.Marshal(params)
	if err != nil {
		return err
	}
	answer := make(chan message, 1)
	c.mu.Lock()
	c.last++
	b, err := json.Marshal(message{ID: c.last, Session: session, Method: method, Params: p})
	if err == nil && c.gone {
		err = errors.New("chromium has ended")
	}
	if err == nil {
		c.waiting[c.last] = answer
		_, err = c.in.Write(append(b, 0))
	}
	c.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case m, ok := <-answer:
		switch {
		case !ok:
			return errors.New("chromium has ended")
		case m.Error != nil:
			return errors.New(m.Error.Message)
		case result == nil:
			return nil
		}
		return json.Unmarshal(m.Result, result)
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}

type params map[string]any

// tab is an open page.
type tab struct {
	*chromium
	session string
}

// open opens a page in a window of its own, so that it is seen.
func (c *chromium) open(url string, width, height int) *tab {
	c.t.Helper()
	var target struct{ TargetID string }
	if err := c.call("", "Target.createTarget", params{"url": "about:blank", "newWindow": true}, &target); err != nil {
		c.t.Fatal(err)
	}
	var attached struct{ SessionID string }
	if err := c.call("", "Target.attachToTarget", params{"targetId": target.TargetID, "flatten": true}, &attached); err != nil {
		c.t.Fatal(err)
	}
	p := &tab{c, attached.SessionID}
	p.do("Runtime.enable", params{})
	p.do("Log.enable", params{})
	p.do("Page.enable", params{})
	p.do("Emulation.setDeviceMetricsOverride", params{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false})
	p.do("Page.navigate", params{"url": url})
	return p
}

func (p *tab) do(method string, ps params) {
	p.t.Helper()
	if err := p.call(p.session, method, ps, nil); err != nil {
		p.t.Fatalf("%s: %v", method, err)
	}
}

// eval evaluates a JavaScript expression, which may be a promise, into result.
func (p *tab) eval(expression string, result any) {
	p.t.Helper()
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct{ Exception struct{ Description string } }
	}
	err := p.call(p.session, "Runtime.evaluate", params{"expression": expression, "awaitPromise": true, "returnByValue": true}, &r)
	if err == nil && r.ExceptionDetails != nil {
		err = errors.New(r.ExceptionDetails.Exception.Description)
	}
	if err == nil && result != nil {
		err = json.Unmarshal(r.Result.Value, result)
	}
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
}

// until waits until a JavaScript condition holds. The document must be there.
func (p *tab) until(condition string) {
	p.t.Helper()
	p.eval(`new Promise(done => {
		const check = () => { if (`+condition+`) { watch.disconnect(); done(true); } };
		const watch = new MutationObserver(check);
		watch.observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
		check();
	})`, nil)
}

// at is where a point of the board is in the page.
func (p *tab) at(board Point) (x, y float64) {
	p.t.Helper()
	var pos struct{ X, Y float64 }
	p.eval(fmt.Sprintf(`(p => ({X: p.x, Y: p.y}))(new DOMPoint(%d, %d).matrixTransform(document.getElementById("board").getScreenCTM()))`, board[0], board[1]), &pos)
	return pos.X, pos.Y
}

// mouse presses the button at the first point, moves to the others and lets go. Points are of the
// board.
func (p *tab) mouse(points ...Point) {
	p.t.Helper()
	event := func(kind string, at Point, buttons int) {
		p.t.Helper()
		x, y := p.at(at)
		p.do("Input.dispatchMouseEvent", params{"type": kind, "x": x, "y": y, "button": "left", "buttons": buttons, "clickCount": 1})
	}
	event("mousePressed", points[0], 1)
	for _, at := range points[1:] {
		event("mouseMoved", at, 1)
	}
	event("mouseReleased", points[len(points)-1], 0)
}

// touch does the same with a finger.
func (p *tab) touch(points ...Point) {
	p.t.Helper()
	kind := "touchStart"
	for _, at := range points {
		x, y := p.at(at)
		p.do("Input.dispatchTouchEvent", params{"type": kind, "touchPoints": []params{{"x": x, "y": y}}})
		kind = "touchMove"
	}
	p.do("Input.dispatchTouchEvent", params{"type": "touchEnd", "touchPoints": []params{}})
}

func (p *tab) click(selector string) {
	p.t.Helper()
	p.eval(fmt.Sprintf("document.querySelector(%q).click()", selector), nil)
}

// screenshot returns a picture of the page, as PNG.
func (p *tab) screenshot() []byte {
	p.t.Helper()
	var r struct{ Data []byte }
	if err := p.call(p.session, "Page.captureScreenshot", params{"format": "png"}, &r); err != nil {
		p.t.Fatal(err)
	}
	return r.Data
}
