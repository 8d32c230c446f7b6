package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
)

// canvas is an SVG picture in the making.
type canvas struct {
	bytes.Buffer
	width, height float64
}

const font = `font-family="system-ui, sans-serif" font-size="12"`

func newCanvas(width, height float64, title string) *canvas {
	c := &canvas{width: width, height: height}
	fmt.Fprintf(c, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="%g" height="%g" %s>`+"\n", width, height, width, height, font)
	fmt.Fprintf(c, `<title>%s</title><rect width="100%%" height="100%%" fill="#fff"/>`+"\n", escaped(title))
	c.text(16, 24, "start", "#111", title, `font-size="15" font-weight="600"`)
	return c
}

func (c *canvas) done() []byte { return append(c.Bytes(), "</svg>\n"...) }

func (c *canvas) text(x, y float64, anchor, color, text string, more string) {
	fmt.Fprintf(c, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s" %s>%s</text>`+"\n", x, y, anchor, color, more, escaped(text))
}

func (c *canvas) line(x1, y1, x2, y2 float64, color string) {
	fmt.Fprintf(c, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s"/>`+"\n", x1, y1, x2, y2, color)
}

func (c *canvas) rect(x, y, w, h float64, color string) {
	fmt.Fprintf(c, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n", x, y, max(w, 0), h, color)
}

func escaped(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a Buffer takes everything
	return b.String()
}

// look is how a system is drawn, in every picture alike: the colours are told
// apart by people who see red and green alike.
func look(system string) (color, dash string, width float64) {
	switch system {
	case "gormi":
		return "#c8102e", "", 3
	case "gormi-reflect":
		return "#c8102e", "5 4", 2.5
	case "gormi-unix":
		return "#c8102e", "2 3", 2.5
	case "java-rmi":
		return "#e69f00", "", 2
	case "grpc":
		return "#0072b2", "", 2
	case "drpc":
		return "#56b4e9", "", 2
	case "net/rpc":
		return "#009e73", "", 2
	case "capnp":
		return "#cc79a7", "", 2
	case "nats":
		return "#6a51a3", "", 2
	case "rawunix":
		return "#888888", "2 3", 1.5
	case "rawtcp-polled":
		return "#555555", "2 3", 1.5
	default:
		return "#555555", "6 2", 1.5
	}
}

type point struct{ x, y float64 }

type series struct {
	name   string
	points []point
}

// tick is a mark on an axis.
type tick struct {
	at    float64
	label string
}

// axis maps values to places between 0 and 1; least and most are mapped values.
type axis struct {
	label       string
	scale       func(float64) float64
	ticks       []tick
	least, most float64
}

func (a *axis) place(v float64) float64 {
	if a.most == a.least {
		return 0.5
	}
	return (a.scale(v) - a.least) / (a.most - a.least)
}

// logAxis fits the values, with marks at 1, 2 and 5 of each power of ten, or at
// the powers only where they are many.
func logAxis(label string, values []float64) *axis {
	a := &axis{label: label, scale: math.Log10, least: math.Inf(1), most: math.Inf(-1)}
	for _, v := range values {
		if v > 0 {
			a.least, a.most = min(a.least, math.Log10(v)), max(a.most, math.Log10(v))
		}
	}
	pad := max(0.05*(a.most-a.least), 0.05)
	a.least, a.most = a.least-pad, a.most+pad
	steps := []float64{1, 2, 5}
	if a.most-a.least > 3 {
		steps = steps[:1]
	}
	for e := math.Floor(a.least); e <= a.most; e++ {
		for _, s := range steps {
			if v := s * math.Pow(10, e); math.Log10(v) >= a.least && math.Log10(v) <= a.most {
				a.ticks = append(a.ticks, tick{v, figure(v)})
			}
		}
	}
	return a
}

// marksAxis has marks at the values and nowhere else, on a logarithmic scale.
func marksAxis(label string, marks []tick) *axis {
	var values []float64
	for _, m := range marks {
		values = append(values, m.at)
	}
	a := logAxis(label, values)
	a.ticks = marks
	return a
}

// tailAxis spreads quantiles out towards 1.
func tailAxis(label string) *axis {
	a := &axis{label: label, scale: func(q float64) float64 { return -math.Log10(1 - q) }, most: 4}
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 0.9999} {
		a.ticks = append(a.ticks, tick{q, strconv.FormatFloat(q*100, 'g', -1, 64) + " %"})
	}
	return a
}

// figure writes a mark's number.
func figure(v float64) string {
	for _, u := range []struct {
		of   float64
		unit string
	}{{1e6, "M"}, {1e3, "k"}} {
		if v >= u.of {
			return strconv.FormatFloat(v/u.of, 'g', 4, 64) + u.unit
		}
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// lineChart draws series, named at the right in the order in which they end.
func lineChart(title string, x, y *axis, all []series) []byte {
	const width, height, left, right, top, bottom = 860, 460, 74, 150, 48, 52
	c := newCanvas(width, height, title)
	px := func(v float64) float64 { return left + x.place(v)*(width-left-right) }
	py := func(v float64) float64 { return height - bottom - y.place(v)*(height-top-bottom) }
	for _, t := range x.ticks {
		c.line(px(t.at), top, px(t.at), height-bottom, "#e5e5e5")
		c.text(px(t.at), height-bottom+18, "middle", "#444", t.label, "")
	}
	for _, t := range y.ticks {
		c.line(left, py(t.at), width-right, py(t.at), "#e5e5e5")
		c.text(left-8, py(t.at)+4, "end", "#444", t.label, "")
	}
	c.line(left, height-bottom, width-right, height-bottom, "#444")
	c.line(left, top, left, height-bottom, "#444")
	c.text((left+width-right)/2, height-12, "middle", "#111", x.label, "")
	c.text(0, 0, "middle", "#111", y.label, fmt.Sprintf(`transform="translate(18 %d) rotate(-90)"`, (top+height-bottom)/2))
	for i, s := range all {
		color, dash, thick := look(s.name)
		fmt.Fprintf(c, `<polyline fill="none" stroke="%s" stroke-width="%g" stroke-dasharray="%s" points="`, color, thick, dash)
		for _, p := range s.points {
			fmt.Fprintf(c, "%.1f,%.1f ", px(p.x), py(p.y))
		}
		fmt.Fprintln(c, `"/>`)
		if len(s.points) <= 8 {
			for _, p := range s.points {
				fmt.Fprintf(c, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", px(p.x), py(p.y), color)
			}
		}
		at := float64(top + 10 + 20*i)
		fmt.Fprintf(c, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="%s" stroke-width="%g" stroke-dasharray="%s"/>`+"\n",
			width-right+14, at, width-right+40, at, color, thick, dash)
		c.text(width-right+46, at+4, "start", "#111", s.name, "")
	}
	return c.done()
}

// bar is a row of a bar chart: its parts stand one after the other.
type bar struct {
	label string
	parts []float64
	text  string // behind it
}

// barChart draws bars from left to right on a linear scale; colors and names
// are those of the parts. A mark, if it is above 0, is a line across all.
func barChart(title, label string, colors, partNames []string, bars []bar, mark float64) []byte {
	const width, left, right, top, step = 860, 130, 80, 48, 24
	legend := 0.0
	if len(partNames) > 0 {
		legend = 28
	}
	height := top + legend + float64(len(bars))*step + 48
	c := newCanvas(width, height, title)
	at := float64(16)
	for i, n := range partNames {
		c.rect(at, top-8, 12, 12, colors[i])
		c.text(at+17, top+2, "start", "#111", n, "")
		at += 32 + 7*float64(len(n))
	}
	most := mark
	for _, b := range bars {
		sum := 0.0
		for _, p := range b.parts {
			sum += p
		}
		most = max(most, sum)
	}
	unit := niceStep(most)
	end := math.Ceil(most/unit) * unit
	px := func(v float64) float64 { return left + v/end*(width-left-right) }
	bottom := height - 40
	for v := 0.0; v <= end+unit/2; v += unit {
		c.line(px(v), top+legend-6, px(v), bottom, "#e5e5e5")
		c.text(px(v), bottom+16, "middle", "#444", figure(math.Round(v*1e6)/1e6), "")
	}
	for i, b := range bars {
		y, x := top+legend+float64(i)*step, 0.0
		c.text(left-8, y+13, "end", "#111", b.label, "")
		for k, p := range b.parts {
			c.rect(px(x), y, px(x+p)-px(x), step-7, colors[k])
			x += p
		}
		c.text(px(x)+6, y+13, "start", "#444", b.text, "")
	}
	if mark > 0 {
		c.line(px(mark), top+legend-6, px(mark), bottom, "#111")
	}
	c.text((left+width-right)/2, height-8, "middle", "#111", label, "")
	return c.done()
}

// niceStep divides a range into four to ten parts of a round size.
func niceStep(most float64) float64 {
	if most <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(most)))
	for _, s := range []float64{0.1, 0.2, 0.25, 0.5, 1} {
		if most/(s*power) <= 10 {
			return s * power
		}
	}
	return power
}
