//go:build unix

package main

import (
	"bytes"
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// shown is a JavaScript expression: what the page shows of the board, in order.
const shown = `[...document.querySelectorAll("#shapes .thing")].map(e => e.outerHTML)`

func untilShows(n int, pages ...*tab) {
	for _, p := range pages {
		p.t.Helper()
		p.until(fmt.Sprintf(`document.querySelectorAll("#shapes .thing").length === %d && !document.getElementById("pending").hasChildNodes()`, n))
	}
}

// same compares what the pages show, and returns it.
func same(pages ...*tab) []string {
	var first []string
	for i, p := range pages {
		p.t.Helper()
		var elements []string
		p.eval(shown, &elements)
		if i == 0 {
			first = elements
		} else if strings.Join(elements, "\n") != strings.Join(first, "\n") {
			p.t.Errorf("a page shows\n%s\nand another\n%s", strings.Join(first, "\n"), strings.Join(elements, "\n"))
		}
	}
	return first
}

// ready waits until a page is loaded and online.
func ready(pages ...*tab) {
	for _, p := range pages {
		p.t.Helper()
		p.until(`document.body?.classList.contains("online")`)
	}
}

// TestBrowsersDrawTogether lets two pages of a real browser draw on one board. Pictures of them go
// to WHITEBOARD_SCREENSHOTS, or else to a temporary folder.
func TestBrowsersDrawTogether(t *testing.T) {
	s := newStage(t)
	browser := startChromium(s.ctx, t)
	ada, bob := browser.open(s.web.url(), 1280, 860), browser.open(s.web.url(), 900, 760)
	ready(ada, bob)
	for _, p := range []*tab{ada, bob} {
		p.until(`document.getElementById("state").textContent === "version 0 · 2 pages"`)
	}

	// A free stroke, by the mouse: Bob's page shows the same.
	var wave []Point
	for x := 200; x <= 700; x += 10 {
		wave = append(wave, Point{int16(x), int16(760 + 60*math.Sin(float64(x)/40))})
	}
	ada.mouse(wave...)
	untilShows(1, ada, bob)
	if got := same(ada, bob)[0]; !strings.HasPrefix(got, "<path ") || strings.Count(got, "Q") < 30 || !strings.Contains(got, "M200,7") {
		t.Errorf("the stroke is %s", got)
	}

	// Bob draws the other kinds, with other pens.
	draw := func(p *tab, tool, colour, width string, fill bool, points ...Point) {
		t.Helper()
		p.click(`[data-colour="` + colour + `"]`)
		p.click(`[data-width="` + width + `"]`)
		p.click(`[data-tool="` + tool + `"]`)
		p.eval(fmt.Sprintf(`document.getElementById("fill").getAttribute("aria-pressed") === "%v" || document.getElementById("fill").click()`, fill), nil)
		p.mouse(points...)
	}
	draw(bob, "rectangle", "#ea580c", "6", true, Point{900, 420}, Point{1100, 500}, Point{1350, 700})
	draw(bob, "line", "#dc2626", "12", false, Point{860, 430}, Point{1000, 300}, Point{1125, 250})
	untilShows(3, ada, bob)
	draw(ada, "line", "#dc2626", "12", false, Point{1125, 250}, Point{1390, 430})
	draw(ada, "ellipse", "#eab308", "3", true, Point{1400, 80}, Point{1520, 200})
	draw(ada, "ellipse", "#2563eb", "6", false, Point{240, 200}, Point{620, 460})
	untilShows(6, ada, bob)
	elements := same(ada, bob)
	for i, want := range []string{"<path ", "<rect ", "<line ", "<line ", "<ellipse ", "<ellipse "} {
		if !strings.HasPrefix(elements[i], want) {
			t.Errorf("shape %d is %s", i, elements[i])
		}
	}
	for _, want := range []string{`x="900"`, `y="420"`, `width="450"`, `height="280"`, `fill="#ea580c"`, `stroke-width="6"`} {
		if !strings.Contains(elements[1], want) {
			t.Errorf("the rectangle is %s, want %s", elements[1], want)
		}
	}
	for _, p := range []*tab{ada, bob} {
		p.until(`document.getElementById("state").textContent === "version 6 · 2 pages"`)
	}
	screenshot(t, ada, "ada.png")
	screenshot(t, bob, "bob.png")

	// Undo takes back what was drawn here; the eraser anything.
	bob.click("#undo")
	untilShows(5, ada, bob)
	if got := same(ada, bob); got[1] != elements[1] || got[2] != elements[3] {
		t.Errorf("Undo left %q", got)
	}
	bob.click(`[data-tool="eraser"]`)
	bob.mouse(Point{1000, 600})
	untilShows(4, ada, bob)
	if got := same(ada, bob); got[1] != elements[3] {
		t.Errorf("the eraser left %q", got)
	}
	ada.click("#clear")
	ada.until(`document.getElementById("clear").textContent === "Really?"`)
	ada.click("#clear")
	untilShows(0, ada, bob)
	ada.until(`!document.getElementById("hint").hidden`)

	// A page that nobody sees closes its connection, and shows what it missed when it is seen
	// again.
	hide := func(hidden bool) {
		bob.eval(fmt.Sprintf(`Object.defineProperty(document, "hidden", {value: %v, configurable: true}); document.dispatchEvent(new Event("visibilitychange"))`, hidden), nil)
	}
	hide(true)
	ada.until(`document.getElementById("state").textContent.includes("only this page")`)
	ada.mouse(Point{800, 300}, Point{900, 400})
	untilShows(1, ada)
	hide(false)
	untilShows(1, ada, bob)
	same(ada, bob)
}

// TestBrowserOutlivesServer: the page says that the server is gone, and goes on with the next one.
func TestBrowserOutlivesServer(t *testing.T) {
	s := newStage(t)
	browser := startChromium(s.ctx, t)
	p := browser.open(s.web.url(), 390, 740) // as on a telephone
	ready(p)
	p.touch(Point{100, 100}, Point{500, 120}, Point{800, 500})
	untilShows(1, p)
	if got := same(p)[0]; !strings.HasPrefix(got, "<path ") || !strings.Contains(got, "M100,100 Q") || !strings.Contains(got, "L800,500") {
		t.Errorf("the finger drew %s", got)
	}
	s.server.node.Close()
	p.until(`!document.body.classList.contains("online")`)
	p.until(`document.getElementById("state").textContent.includes("trying again")`)
	p.mouse(Point{100, 900}, Point{800, 500})
	p.until(`document.getElementById("toast").textContent.includes("cannot be reached")`)
	screenshot(t, p, "offline.png")
	s.server.shutdown()
	s.serve()
	ready(p)
	untilShows(0, p) // a new server, a new board
	p.mouse(Point{100, 100}, Point{800, 500})
	untilShows(1, p)
}

func screenshot(t *testing.T, p *tab, name string) {
	t.Helper()
	dir := os.Getenv("WHITEBOARD_SCREENSHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	b := p.screenshot()
	if _, err := png.Decode(bytes.NewReader(b)); err != nil {
		t.Errorf("the screenshot: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
		t.Error(err)
	}
	t.Log("a screenshot is at", filepath.Join(dir, name))
}
