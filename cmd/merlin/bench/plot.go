package bench

import (
	"bytes"
	"fmt"
	"html"
	"math"
)

// Sizes of a drawing in its own units.
const (
	plotWidth   = 820
	panelHeight = 200
	marginLeft  = 70
	marginRight = 32
	marginTop   = 30
	marginFoot  = 30
	maxPoints   = 300 // of a line; neighbours are joined by their highest
)

// point is a place in a panel, in the units of what is shown.
type point struct{ x, y float64 }

// line is one curve of a panel.
type line struct {
	name, colour string
	points       []point
}

// panel is one coordinate system. The axes begin at zero unless log is set.
type panel struct {
	title  string
	lines  []line
	log    bool      // of the y axis
	ticks  []float64 // places on the x axis that labels name; without them, numbers
	labels []string
}

// drawing is the SVG file of a report: throughput over time and the distribution
// of the latencies, or the four panels of a soak.
func (r *Report) drawing() []byte {
	if r.Soak != nil {
		return draw(r.Work, r.Soak.panels())
	}
	return draw(r.Work, r.panels())
}

// page is the drawing with the table below it, in one HTML file.
func (r *Report) page() []byte {
	var table bytes.Buffer
	_ = r.write(&table, false) // a buffer takes everything
	var b bytes.Buffer
	fmt.Fprintf(&b, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>%s</title>\n", html.EscapeString(r.Work))
	b.WriteString("<style>body{font:14px sans-serif;max-width:860px;margin:2em auto}pre{background:#f4f4f4;padding:1em;overflow:auto}</style></head>\n<body>\n")
	b.Write(r.drawing())
	fmt.Fprintf(&b, "<pre>%s</pre>\n</body></html>\n", html.EscapeString(table.String()))
	return b.Bytes()
}

// panels are those of a report that is no soak.
func (r *Report) panels() []panel {
	var rate []point
	last := mark{}
	for _, m := range r.marks {
		rate = append(rate, point{m.at.Seconds(), float64(m.total-last.total) / (m.at - last.at).Seconds()})
		last = m
	}
	ps := []panel{{title: "messages/s over the seconds of the run (with its warm-up)", lines: []line{{"", "#1f77b4", rate}}}}
	if r.h != nil && r.h.TotalCount() > 0 {
		ps = append(ps, percentiles(r.h))
	}
	return ps
}

// percentiles plots a histogram the way HdrHistogram does: every further nine is
// one step to the right.
func percentiles(h *latencies) panel {
	p := panel{title: "latency in ms by percentile"}
	const nines = 5
	var points []point
	for i := 0; i <= 200; i++ {
		x := float64(i) / 200 * nines
		q := 100 * (1 - math.Pow(10, -x))
		points = append(points, point{x, ms(h.ValueAtQuantile(q))})
	}
	p.lines = []line{{"", "#d62728", points}}
	for i, label := range []string{"0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"} {
		p.ticks, p.labels = append(p.ticks, float64(i)), append(p.labels, label)
	}
	return p
}

// panels are those of a soak; the x axis has minutes.
func (s *Soak) panels() []panel {
	of := func(name, colour string, y func(sample) float64) line {
		l := line{name: name, colour: colour}
		for _, p := range s.Samples {
			l.points = append(l.points, point{p.At / 60, y(p)})
		}
		return l
	}
	return []panel{
		{title: "messages/s over the minutes of the run", lines: []line{
			of("sent", "#1f77b4", func(p sample) float64 { return p.Sends }),
			of("arrived", "#2ca02c", func(p sample) float64 { return p.Arrived })}},
		{title: "latency in ms", log: true, lines: []line{
			of("send p50", "#1f77b4", func(p sample) float64 { return ms(p.P50) }),
			of("send p99", "#aec7e8", func(p sample) float64 { return ms(p.P99) }),
			of("arrival p50", "#2ca02c", func(p sample) float64 { return ms(p.Tail50) }),
			of("arrival p99", "#98df8a", func(p sample) float64 { return ms(p.Tail99) })}},
		{title: "memory in MiB", lines: []line{
			of("anonymous", "#d62728", func(p sample) float64 { return p.AnonMiB }),
			of("file", "#7f7f7f", func(p sample) float64 { return p.FileMiB })}},
		{title: "open descriptors and threads", lines: []line{
			of("descriptors", "#9467bd", func(p sample) float64 { return float64(p.FDs) }),
			of("threads", "#c5b0d5", func(p sample) float64 { return float64(p.Threads) })}},
	}
}

// draw puts the panels below each other.
func draw(title string, ps []panel) []byte {
	var b bytes.Buffer
	height := 30 + len(ps)*(panelHeight+marginTop+marginFoot)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" font-family="sans-serif" font-size="11">`+"\n", plotWidth, height, plotWidth)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/><text x="%d" y="18" font-size="14">%s</text>`+"\n", plotWidth, height, marginLeft, html.EscapeString(title))
	for i := range ps {
		ps[i].draw(&b, 30+i*(panelHeight+marginTop+marginFoot)+marginTop)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// draw draws one panel whose frame begins at y = top.
func (p *panel) draw(b *bytes.Buffer, top int) {
	left, right := float64(marginLeft), float64(plotWidth-marginRight)
	low, high, xmax := p.bounds()
	toY := func(v float64) float64 {
		if p.log {
			v = math.Log10(max(v, math.Pow(10, low)))
		}
		return float64(top) + panelHeight*(1-(v-low)/(high-low))
	}
	toX := func(v float64) float64 { return left + (right-left)*v/xmax }
	text := func(x, y float64, anchor, s string) {
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="#333">%s</text>`, x, y, anchor, html.EscapeString(s))
	}
	rule := func(x1, y1, x2, y2 float64) {
		fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#ddd"/>`, x1, y1, x2, y2)
	}
	text(left, float64(top)-8, "start", p.title)
	for _, v := range p.levels(low, high) {
		rule(left, toY(v), right, toY(v))
		text(left-6, toY(v)+4, "end", short(v))
	}
	for i, at := range p.xTicks(xmax) {
		label := short(at)
		if p.labels != nil {
			label = p.labels[i]
		}
		rule(toX(at), float64(top), toX(at), float64(top+panelHeight))
		text(toX(at), float64(top+panelHeight+16), "middle", label)
	}
	x := right
	for i := len(p.lines) - 1; i >= 0; i-- {
		l := p.lines[i]
		fmt.Fprintf(b, "\n"+`<polyline fill="none" stroke="%s" stroke-width="1.3" points="`, l.colour)
		for _, q := range thin(l.points) {
			fmt.Fprintf(b, "%.1f,%.1f ", toX(q.x), toY(q.y))
		}
		b.WriteString(`"/>`)
		if l.name != "" {
			fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="end" fill="%s">%s</text>`, x, top-8, l.colour, html.EscapeString(l.name))
			x -= float64(7*len(l.name) + 14)
		}
	}
	b.WriteString("\n")
}

// bounds are the ends of both axes; those of a logarithmic y axis are powers of ten.
func (p *panel) bounds() (low, high, xmax float64) {
	lowest, highest := math.Inf(1), 0.0
	for _, l := range p.lines {
		for _, q := range l.points {
			highest, xmax = max(highest, q.y), max(xmax, q.x)
			if q.y > 0 {
				lowest = min(lowest, q.y)
			}
		}
	}
	if xmax <= 0 {
		xmax = 1
	}
	if p.log && highest > 0 {
		low, high = math.Floor(math.Log10(lowest)), math.Ceil(math.Log10(highest))
		return low, max(high, low+1), xmax
	}
	s := step(highest)
	return 0, max(math.Ceil(highest/s)*s, s), xmax
}

// levels are the values that the y axis names.
func (p *panel) levels(low, high float64) (vs []float64) {
	if p.log {
		for e := low; e <= high; e++ {
			vs = append(vs, math.Pow(10, e))
		}
		return vs
	}
	s := step(high)
	for v := 0.0; v <= high+s/2; v += s {
		vs = append(vs, v)
	}
	return vs
}

func (p *panel) xTicks(xmax float64) (vs []float64) {
	if vs = p.ticks; vs == nil {
		s := step(xmax)
		for v := 0.0; v <= xmax; v += s {
			vs = append(vs, v)
		}
	}
	return vs
}

// step is 1, 2 or 5 times a power of ten, so that four to ten of them reach top.
func step(top float64) float64 {
	if top <= 0 {
		return 1
	}
	s := math.Pow(10, math.Floor(math.Log10(top)))
	switch {
	case top/s < 2:
		return s / 5
	case top/s < 5:
		return s / 2
	}
	return s
}

// short writes a number with three digits that count.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.3gM", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%.3gk", v/1e3)
	}
	return fmt.Sprintf("%.4g", v)
}

// thin keeps a drawing small: the highest of neighbours stands for them.
func thin(ps []point) []point {
	each := (len(ps) + maxPoints - 1) / maxPoints
	if each <= 1 {
		return ps
	}
	var out []point
	for i := 0; i < len(ps); i += each {
		top := ps[i]
		for _, q := range ps[i:min(i+each, len(ps))] {
			if q.y > top.y {
				top = q
			}
		}
		out = append(out, top)
	}
	return out
}
