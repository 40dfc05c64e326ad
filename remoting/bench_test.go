package remoting

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/merlinmq/merlin/protocol/wire"
)

// sendLike is a SEND_MESSAGE_V2 frame with a 1 KiB body, as a Java producer
// writes it.
func sendLike(opaque int32) []byte {
	o := wire.Outgoing{Code: 310, Opaque: opaque, Version: 479, Ext: []wire.Field{
		{Key: "a", Value: "producer-group"}, {Key: "b", Value: "TopicTest"}, {Key: "c", Value: "TBW102"},
		{Key: "d", Value: "4"}, {Key: "e", Value: "2"}, {Key: "f", Value: "0"}, {Key: "g", Value: "1763703000000"},
		{Key: "h", Value: "0"}, {Key: "i", Value: "UNIQ_KEY\u00017F000001298C18B4AAC20000000F0001\u0002WAIT\u0001true\u0002TAGS\u0001TagA\u0002"},
		{Key: "j", Value: "0"}, {Key: "k", Value: "false"}, {Key: "l", Value: ""}, {Key: "m", Value: "false"}, {Key: "n", Value: "broker-a"},
	}}
	return append(wire.AppendHead(nil, &o, 1024), bytes.Repeat([]byte("x"), 1024)...)
}

type sendAnswer struct{}

func (sendAnswer) EncodeFields(w *wire.FieldWriter) {
	w.String("msgId", "7F00000100002A9F0000000000000000")
	w.Int32("queueId", 2)
	w.Int64("queueOffset", 123456)
	w.String("transactionId", "7F000001298C18B4AAC20000000F0001")
}

// load keeps window requests in flight on one connection: it writes what it may
// at once and reads what came.
func load(addr string, window int, left *atomic.Int64) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	one := sendLike(1)
	all := bytes.Repeat(one, window)
	free, in := window, 0
	buf := make([]byte, 64<<10)
	n := 0
	for {
		send := 0
		for send < free && left.Add(-1) >= 0 {
			send++
		}
		if send > 0 {
			if _, err := c.Write(all[:send*len(one)]); err != nil {
				return err
			}
			in += send
			free -= send
		}
		if in == 0 {
			return nil
		}
		m, err := c.Read(buf[n:])
		if err != nil {
			return err
		}
		n += m
		p := buf[:n]
		for len(p) >= 4 && len(p) >= 4+int(binary.BigEndian.Uint32(p)) {
			p = p[4+int(binary.BigEndian.Uint32(p)):]
			in--
			free++
		}
		n = copy(buf, p)
	}
}

func benchServer(b *testing.B, rs *Routes, conns, window int) {
	_, addr := serve(b, ServerOptions{Routes: rs})
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for range conns {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := load(addr, window, &left); err != nil {
				b.Error(err)
			}
		}()
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

// BenchmarkServer answers SEND-like requests in four ways: by a handler, by a
// batch handler, by a pooled lane, and by other goroutines. conns×window.
func BenchmarkServer(b *testing.B) {
	ways := map[string]func(rs *Routes){
		"inline": func(rs *Routes) {
			a := &Answer{Header: sendAnswer{}}
			rs.Handle(310, nil, func(r *Request) (*Answer, error) { return a, nil })
		},
		"batch": func(rs *Routes) {
			a := &Answer{Header: sendAnswer{}}
			rs.HandleBatch(310, nil, func(qs []*Request) {
				for _, q := range qs {
					q.To().Send(a)
				}
			})
		},
		"pooled": func(rs *Routes) {
			a := &Answer{Header: sendAnswer{}}
			rs.Handle(310, &Lane{Workers: 16}, func(r *Request) (*Answer, error) { return a, nil })
		},
		"later": func(rs *Routes) {
			a := &Answer{Header: sendAnswer{}}
			todo := make(chan ReplyTo, 10000)
			for range 4 {
				go func() {
					for to := range todo {
						to.Send(a)
					}
				}()
			}
			b.Cleanup(func() { close(todo) })
			rs.HandleBatch(310, nil, func(qs []*Request) {
				for _, q := range qs {
					todo <- q.To()
				}
			})
		},
	}
	for _, way := range []string{"inline", "batch", "pooled", "later"} {
		for _, load := range [][2]int{{1, 1}, {64, 1}, {8, 32}} {
			b.Run(fmt.Sprintf("%s/%dx%d", way, load[0], load[1]), func(b *testing.B) {
				rs := NewRoutes()
				ways[way](rs)
				benchServer(b, rs, load[0], load[1])
			})
		}
	}
}

// BenchmarkClient makes pipelined calls through Client.Go: 8 clients, 32 calls
// in flight each.
func BenchmarkClient(b *testing.B) {
	a := &Answer{Header: sendAnswer{}}
	rs := NewRoutes()
	rs.Handle(310, nil, func(r *Request) (*Answer, error) { return a, nil })
	_, addr := serve(b, ServerOptions{Routes: rs})
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	body := bytes.Repeat([]byte("x"), 1024)
	b.ReportAllocs()
	for range 8 {
		c := client(b, ClientOptions{})
		conn, err := c.Conn(context.Background(), addr)
		if err != nil {
			b.Fatal(err)
		}
		for range 32 {
			wg.Add(1)
			var next func(*wire.Command, error)
			next = func(_ *wire.Command, err error) {
				if err == nil && left.Add(-1) >= 0 {
					err = conn.Go(context.Background(), &wire.Outgoing{Code: 310}, body, next)
					if err == nil {
						return
					}
				}
				if err != nil {
					b.Error(err)
				}
				wg.Done()
			}
			next(nil, nil)
		}
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}
