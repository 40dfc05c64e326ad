package route

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/wire"
)

var rewrite = flag.Bool("rewrite", false, "write the results of the scripts into them")

// The scripts in testdata pin RouteInfoManager. A case is a command, a line of
// dashes, and what it prints. Commands:
//
//	flags acting notify delete           the settings that are on
//	register addr=a name=b id=0 [cluster=C] [v=1] [state=0] [acting=true] [zone=z]
//	         [timeout=ms] [conn=c] [filters=f,g] topics=T1,T2:4 (name:perm)
//	unregister addr=a name=b id=0 [cluster=C]        queued
//	remove addr=a name=b id=0 …; addr=…              at once, as one batch
//	disconnect c | lose c (queued) | heartbeat a | advance 1s          the clock; then the scan and the queue
//	query addr [version]
//	route T [zone] | cluster | members b | topics | clustertopics C | system
//	wipe b | add b | delete T [C] | regtopic T b1,b2
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			r := newRunner()
			var out strings.Builder
			for _, block := range strings.Split(strings.TrimSpace(string(data)), "\n\n") {
				head, want, _ := strings.Cut(block+"\n", "----\n")
				got := ""
				for _, line := range strings.Split(strings.TrimSpace(head), "\n") {
					if !strings.HasPrefix(line, "#") {
						got = r.run(t, line)
					}
				}
				fmt.Fprintf(&out, "%s----\n%s\n\n", head, got)
				if !*rewrite {
					require.Equal(t, strings.TrimSpace(want), strings.TrimSpace(got), "%s", head)
				}
			}
			if *rewrite {
				require.NoError(t, os.WriteFile(file, []byte(strings.TrimSpace(out.String())+"\n"), 0o644))
			}
		})
	}
}

type fakeConn struct{ closed bool }

func (c *fakeConn) Close() { c.closed = true }

type runner struct {
	clock   *clock.Manual
	table   *Table
	flags   Flags
	conns   map[string]*fakeConn
	notices []string
}

func newRunner() *runner {
	r := &runner{clock: clock.NewManual(time.UnixMilli(1_000_000)), conns: map[string]*fakeConn{}}
	r.table = New(Options{Clock: r.clock, Flags: func() Flags { return r.flags }, QueueCapacity: 3, Notify: func(n Notice) {
		h := n.Header
		r.notices = append(r.notices, fmt.Sprintf("notice to %s: min %d %s offline=%s ha=%s", n.To, h.MinBrokerID.V, h.MinBrokerAddr.V, h.OfflineBrokerAddr.V, h.HaBrokerAddr.V))
	}})
	return r
}

// settle does what the goroutine of the table does.
func (r *runner) settle() {
	r.table.scan()
	var batch []Removal
	for len(r.table.removals) > 0 {
		batch = append(batch, <-r.table.removals)
	}
	if len(batch) > 0 {
		r.table.Remove(batch)
	}
}

func (r *runner) run(t *testing.T, line string) string {
	words := strings.Fields(line)
	words = append(words, "", "", "")
	args := map[string]string{"cluster": "C1", "v": "1"}
	for _, w := range words[1:] {
		if k, v, ok := strings.Cut(w, "="); ok {
			args[k] = v
		}
	}
	r.notices = nil
	res := r.do(t, words, args, line)
	return strings.Join(append([]string{res}, r.notices...), "\n")
}

func (r *runner) do(t *testing.T, w []string, a map[string]string, line string) string {
	switch w[0] {
	case "flags":
		r.flags = Flags{slices.Contains(w, "acting"), slices.Contains(w, "notify"), slices.Contains(w, "delete")}
	case "register":
		return r.register(t, a)
	case "unregister":
		return fmt.Sprint(r.table.Unregister(removal(t, a)))
	case "remove":
		var rs []Removal
		for _, part := range strings.Split(strings.TrimPrefix(line, "remove"), ";") {
			args := map[string]string{"cluster": "C1"}
			for _, f := range strings.Fields(part) {
				k, v, _ := strings.Cut(f, "=")
				args[k] = v
			}
			rs = append(rs, removal(t, args))
		}
		r.table.Remove(rs)
	case "disconnect":
		r.table.Disconnected(r.conn(w[1]))
		r.settle()
	case "lose":
		r.table.Disconnected(r.conn(w[1]))
	case "heartbeat":
		r.table.Heartbeat("C1", w[1])
	case "advance":
		d, err := time.ParseDuration(w[1])
		require.NoError(t, err)
		r.clock.Advance(d)
		r.settle()
	case "wipe":
		return fmt.Sprint(r.table.WipeWritePerm(w[1]))
	case "add":
		return fmt.Sprint(r.table.AddWritePerm(w[1]))
	case "delete":
		r.table.DeleteTopic(w[1], w[2])
	case "regtopic":
		var qs []body.QueueData
		for _, b := range strings.Split(w[2], ",") {
			qs = append(qs, body.QueueData{BrokerName: b, Perm: 6, ReadQueueNums: 1, WriteQueueNums: 1})
		}
		r.table.RegisterTopic(w[1], qs)
	default:
		return r.show(t, w)
	}
	return "ok"
}

// show runs the commands that read.
func (r *runner) show(t *testing.T, w []string) string {
	var v any
	switch w[0] {
	case "query":
		var dv *body.DataVersion
		if w[2] != "" {
			dv = &body.DataVersion{Counter: num(t, w[2])}
		}
		changed, known := r.table.Query("C1", w[1], dv)
		return fmt.Sprintf("changed=%v known=%v", changed, known)
	case "route":
		d := r.table.Route(w[1])
		if d == nil {
			return "none"
		}
		if w[2] != "" {
			FilterZone(d, w[2])
		}
		v = d
	case "cluster":
		v = r.table.Cluster()
	case "members":
		v = r.table.Members("C1", w[1])
	case "topics":
		v = r.table.Topics(nil)
	case "clustertopics":
		v = r.table.ClusterTopics(w[1])
	case "system":
		v = r.table.SystemTopics()
	case "closed":
		return fmt.Sprint(r.conn(w[1]).closed)
	default:
		t.Fatalf("unknown command %q", w[0])
	}
	b, err := body.Marshal(v)
	require.NoError(t, err)
	return string(b)
}

func (r *runner) conn(name string) *fakeConn {
	if r.conns[name] == nil {
		r.conns[name] = &fakeConn{}
	}
	return r.conns[name]
}

func (r *runner) register(t *testing.T, a map[string]string) string {
	w := &body.TopicConfigAndMappingSerializeWrapper{}
	w.TopicConfigTable = map[string]body.TopicConfig{}
	w.DataVersion = body.DataVersion{Counter: num(t, a["v"]), StateVersion: num(t, a["state"])}
	for _, topic := range strings.Split(a["topics"], ",") {
		name, perm, _ := strings.Cut(topic, ":")
		if name == "" {
			continue
		}
		c := body.NewTopicConfig(name)
		c.ReadQueueNums, c.WriteQueueNums = 4, 4
		if perm != "" {
			c.Perm = int32(num(t, perm))
		}
		w.TopicConfigTable[name] = c
	}
	reg := Registration{Cluster: a["cluster"], Addr: a["addr"], Name: a["name"], ID: num(t, a["id"]), HAServer: a["addr"] + "ha",
		Zone: a["zone"], Topics: w, Conn: r.conn(a["conn"])}
	if a["acting"] != "" {
		reg.ActingMaster = wire.Some(a["acting"] == "true")
	}
	if a["timeout"] != "" {
		reg.Timeout = wire.Some(num(t, a["timeout"]))
	}
	if a["filters"] != "" {
		reg.FilterServers = strings.Split(a["filters"], ",")
	}
	res, err := r.table.Register(reg)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("ok master=%s ha=%s", res.MasterAddr, res.HAServer)
}

func removal(t *testing.T, a map[string]string) Removal {
	return Removal{Cluster: a["cluster"], Addr: a["addr"], Name: a["name"], ID: num(t, a["id"])}
}

func num(t *testing.T, s string) int64 {
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	require.NoError(t, err)
	return n
}
