package main

import (
	"fmt"

	"github.com/merlinmq/merlin/cmd/merlin/bench"
)

// work is one measurement: what the client is told to do. {s} is the measured
// time, {rate} half of Java's top rate.
type work struct {
	id, title string
	args      []string
	fill      []string // work before it that is not measured
}

// The works by id. The order is that of the table.
var works = []work{
	{id: "64x1", title: "send 64×1", args: words("send -c 64 -w 1 -topic w1 -d {s}")},
	{id: "8x32one", title: "send 8×32, one write a message", args: words("send -c 8 -w 32 -unbatched -topic w2 -d {s}")},
	{id: "8x32", title: "send 8×32", args: words("send -c 8 -w 32 -topic w3 -d {s}")},
	{id: "8x256", title: "send 8×256", args: words("send -c 8 -w 256 -topic w4 -d {s}")},
	{id: "8x256new", title: "send 8×256, on pages that are new to the file", args: words("send -c 8 -w 256 -topic w4 -d {s}")}, // the limit only
	{id: "pull", title: "catch-up pull, 8 connections, 32 a pull", args: words("pull -c 8 -max 32 -topic w5 -d {s}"),
		fill: words("send -c 8 -w 128 -topic w5 -count 400000 -d 60s -warmup 0")},
	{id: "64x1sync", title: "send 64×1, SYNC_FLUSH", args: words("send -c 64 -w 1 -topic w6 -d {s}")},
	{id: "8x32sync", title: "send 8×32, SYNC_FLUSH", args: words("send -c 8 -w 32 -topic w7 -d {s}")},
	{id: "open", title: "open loop at half of Java's send 64×1", args: words("send -c 64 -rate {rate} -topic w8 -d {s}")},
	{id: "tail", title: "send to long-polling consumer at 2,000/s", args: words("tail -rate 2000 -topic w9 -d {s}")},
	{id: "10k", title: "send 8×256 over 10,000 queues", args: words("send -c 8 -w 256 -topics 1250 -queues 8 -topic w10 -d {s}")},
	// In the same process, so that the three differ in their queues alone.
	{id: "8near", title: "send 8×256 over 8 queues, beside 10,000", args: words("send -c 8 -w 256 -topic w4 -d {s}")},
	{id: "10kfull", title: "send 8×256 over 10,000 queues with files", args: words("send -c 8 -w 256 -topics 1250 -queues 8 -topic w10 -d {s}"),
		fill: words("send -c 8 -w 256 -topics 1250 -queues 8 -topic w10 -count 1000000 -d 60s -warmup 0")},
	// The two have their own server: the smallest heap that works.
	{id: "start", title: "start to the first answer, empty store"},
	{id: "load512", title: "send 64×1 for the memory under load", args: words("send -c 64 -w 1 -topic w11 -d {s}")},
}

// stage is the life of one server and the works it does.
type stage struct {
	how   how
	warm  bool // the Java broker's warm-up comes first
	works []string
}

// stages of each kind. The files of a stage are new.
func stages(k kind, heap string) []stage {
	switch k {
	case java:
		return []stage{
			{how: how{heap: "512m"}, works: []string{"start", "load512"}},
			{how: how{heap: heap}, warm: true, works: []string{"64x1", "8x32one", "8x32", "8x256", "open", "tail", "pull", "10k", "8near", "10kfull"}},
			{how: how{heap: heap, sync: true}, warm: true, works: []string{"64x1sync", "8x32sync"}},
		}
	case merlin:
		return []stage{
			{works: []string{"start", "load512"}},
			{works: []string{"64x1", "8x32one", "8x32", "open", "tail"}},
			{works: []string{"8x256"}},
			{works: []string{"pull"}},
			{works: []string{"10k", "8near", "10kfull"}},
			{how: how{sync: true}, works: []string{"64x1sync", "8x32sync"}},
		}
	}
	cold, hot := []string{"-log", "4096"}, []string{"-log", "1024", "-hot"}
	return []stage{
		{how: how{args: cold}, works: []string{"64x1", "open"}},
		{how: how{args: cold}, works: []string{"8x32one"}},
		{how: how{args: cold}, works: []string{"8x32"}},
		{how: how{args: []string{"-log", "8192"}}, works: []string{"8x256new"}},
		{how: how{args: hot}, works: []string{"8x256"}},
		{how: how{args: append(hot, "-depth", "50000")}, works: []string{"pull"}},
		{how: how{args: cold, sync: true}, works: []string{"64x1sync", "8x32sync"}},
	}
}

// goal compares a ratio with a bound.
type goal struct {
	bound   float64
	atLeast bool
	text    string // of the bound when it is a fraction
}

func atLeast(v float64) *goal { return &goal{bound: v, atLeast: true} }
func atMost(v float64) *goal  { return &goal{bound: v} }

func (g *goal) met(ratio float64) bool {
	if g.atLeast {
		return ratio >= g.bound
	}
	return ratio <= g.bound
}

func (g *goal) String() string {
	text, sign := g.text, "≤"
	if text == "" {
		text = fmt.Sprint(g.bound)
	}
	if g.atLeast {
		sign = "≥"
	}
	return sign + " " + text
}

// row is one line of the table: a number of a work, for each kind.
type row struct {
	title    string
	work     string
	javaWork string // when the number of Java is of another work
	limitOn  string // when the number of the limit is of another work
	of       func(*result) float64
	javaOf   func(*result) float64
	format   func(float64) string
	java     *goal // of Merlin ÷ Java
	limit    *goal // of Merlin ÷ limit
	alone    *goal // of Merlin's number itself
}

func rate(r *result) float64 { return r.Rate }
func p50(r *result) float64  { return float64(r.P50) / 1000 }
func p99(r *result) float64  { return float64(r.P99) / 1000 }
func p999(r *result) float64 { return float64(r.P999) / 1000 }
func cpu(r *result) float64  { return r.usage().CPU100k }
func anon(r *result) float64 { return r.usage().PeakAnonMiB }
func idle(r *result) float64 { return r.Idle.AnonMiB + r.Idle.FileMiB + r.Idle.ShmemMiB }
func took(r *result) float64 { return r.Started }
func part(r *result) float64 { return r.Part }

// rows is the table of goals with some lines beside it that have none.
func rows() []row {
	fifteenth := &goal{bound: 1.0 / 15, text: "1/15"}
	return []row{
		{title: "send 64×1, /s", work: "64x1", of: rate, format: kilo, java: atLeast(2.2), limit: atLeast(0.85)},
		{title: "send 8×32, one write a message, /s", work: "8x32one", of: rate, format: kilo, java: atLeast(2.1), limit: atLeast(0.85)},
		{title: "send 8×32, /s", work: "8x32", of: rate, format: kilo, java: atLeast(3), limit: atLeast(0.75)},
		{title: "send 8×256, /s", work: "8x256", of: rate, format: kilo, java: atLeast(5), limit: atLeast(0.6)},
		{title: "the same, the limit on pages that are new to its file, /s", work: "8x256", limitOn: "8x256new", of: rate, format: kilo},
		{title: "catch-up pull, 8 connections, 32 a pull, /s", work: "pull", of: rate, format: kilo, java: atLeast(2.8), limit: atLeast(0.85)},
		{title: "send 64×1, SYNC_FLUSH, /s", work: "64x1sync", of: rate, format: kilo, java: atLeast(2), limit: atLeast(0.9)},
		{title: "send 8×32, SYNC_FLUSH, /s", work: "8x32sync", of: rate, format: kilo, java: atLeast(3), limit: atLeast(0.8)},
		{title: "server CPU of send 64×1, s per 100,000", work: "64x1", of: cpu, format: small, java: atMost(0.3)},
		{title: "server CPU of send 8×256, s per 100,000", work: "8x256", of: cpu, format: small, java: atMost(0.12)},
		{title: "server CPU of the pull, s per 100,000", work: "pull", of: cpu, format: small, java: atMost(0.25)},
		{title: "server CPU of send 64×1, SYNC_FLUSH, s per 100,000", work: "64x1sync", of: cpu, format: small},
		{title: "open loop at half of Java's send 64×1, p50 ms", work: "open", of: p50, format: small},
		{title: "the same, p99 ms", work: "open", of: p99, format: small, java: atMost(0.5), limit: atMost(1.5)},
		{title: "the same, p99.9 ms", work: "open", of: p999, format: small},
		{title: "send to long-polling consumer at 2,000/s, p50 ms", work: "tail", of: p50, format: small, java: atMost(0.25)},
		{title: "the same, p99 ms", work: "tail", of: p99, format: small},
		{title: "send 8×256 over 10,000 queues that have no files yet, /s", work: "10k", of: rate, format: kilo},
		{title: "the same ÷ 8 queues of the same process", work: "10k", of: part, format: small, alone: atLeast(0.95)},
		{title: "send 8×256 over 10,000 queues that have their files, /s", work: "10kfull", of: rate, format: kilo},
		{title: "the same ÷ 8 queues of the same process", work: "10kfull", of: part, format: small, alone: atLeast(0.95)},
		{title: "resident memory, idle, MiB (Java: 512 MiB heap)", work: "start", of: idle, format: small, java: fifteenth},
		{title: "anonymous memory under load, all works on 8 queues, MiB (Java: resident idle, 512 MiB heap)", work: "load512", of: peakOfAll, javaWork: "start", javaOf: idle, format: small, java: fifteenth},
		{title: "the same, send 64×1 only, MiB (Java: 512 MiB heap)", work: "load512", of: anon, format: small},
		{title: "the same, send 8×256 over 10,000 queues, MiB (Java: resident idle, 512 MiB heap)", work: "10k", of: anon, javaWork: "start", javaOf: idle, format: small, java: fifteenth},
		{title: "start to the first answer, empty store, s (Java: 512 MiB heap)", work: "start", of: took, format: small, java: &goal{bound: 1.0 / 20, text: "1/20"}},
	}
}

// peakOfAll is the highest anonymous memory of all works on 8 queues of the round.
func peakOfAll(r *result) float64 { return r.RoundPeak }

// result is one sample.
type result struct {
	*bench.Report
	Started   float64      `json:"startSeconds,omitempty"` // to the first answer
	Idle      *bench.Usage `json:"idle,omitempty"`
	Part      float64      `json:"partOf8Queues,omitempty"`
	RoundPeak float64      `json:"roundPeakAnonMiB,omitempty"`
}

// usage is what the server took; zero when it was not asked.
func (r *result) usage() *bench.Usage {
	if r.Report == nil || r.Server == nil {
		return &bench.Usage{}
	}
	return r.Server
}
