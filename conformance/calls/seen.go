package calls

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
)

// field is one noted property of an answer.
type field struct{ name, value string }

// split takes "field = value" lines apart.
func split(lines []string) []field {
	out := make([]field, 0, len(lines))
	for _, l := range lines {
		name, value, _ := strings.Cut(l, " = ")
		out = append(out, field{name, value})
	}
	return out
}

func valueOf(list []field, name string) string {
	for _, f := range list {
		if f.name == name {
			return f.value
		}
	}
	return absent
}

// note adds one line.
func (s *scene) note(st *step, f field) {
	name := f.name
	if st.label != "" {
		name = st.label + "." + name
	}
	s.lines = append(s.lines, name+" = "+short(f.value))
}

// short keeps lines readable: long values become their size and checksum.
func short(v string) string {
	v = strconv.Quote(v)
	v = v[1 : len(v)-1]
	v = strings.ReplaceAll(v, `\"`, `"`)
	if len(v) > 600 {
		return fmt.Sprintf("%s… (%d bytes, crc %08x)", strings.ToValidUTF8(v[:100], ""), len(v), crc32.ChecksumIEEE([]byte(v)))
	}
	return v
}

// noteCommand notes an answer, or a request of the server.
func (s *scene) noteCommand(st *step, a *wire.Command) {
	if st.label == "" && (s.want == refused || s.want == recorded && a.Code != 0 && exception.MatchString(a.Remark)) {
		s.note(st, field{"answer", map[bool]string{true: taken, false: refusal}[a.Code == 0]})
		return
	}
	if st.pushed {
		s.note(st, field{"request", fmt.Sprint(a.Code)})
	} else {
		s.note(st, field{"code", codeText(a.Code)})
	}
	if a.HasRemark && (a.Remark != "" || !st.how.binary) { // ROCKETMQ headers do not tell an empty remark from none
		s.note(st, field{"remark", s.maskRemark(a.Remark)})
	}
	if st.envelope {
		for _, f := range []field{{"encoding", fmt.Sprint(a.Encoding)}, {"language", a.Language.String()}, {"version", fmt.Sprint(a.Version)}, {"flag", fmt.Sprint(a.Flag)}} {
			s.note(st, f)
		}
	}
	ext := make([]field, 0, len(a.Ext))
	for _, e := range a.Ext {
		switch {
		case slices.Contains(st.hide, e.Key):
			ext = append(ext, field{"ext." + e.Key, "…"})
		case e.Key == "properties":
			ext = append(ext, s.properties("ext.properties.", []byte(e.Value))...)
		default:
			ext = append(ext, field{"ext." + e.Key, s.maskField(e.Key, e.Value)})
		}
	}
	sort.Slice(ext, func(i, j int) bool { return ext[i].name < ext[j].name })
	for _, f := range ext {
		s.note(st, f)
	}
	if len(a.Body) == 0 {
		return
	}
	read := st.look
	if read == nil {
		read = jsonBody
	}
	for _, f := range read(s, a.Body) {
		s.note(st, f)
	}
}

// masks replace what differs from run to run, wherever it stands.
var masks = []mask{
	{regexp.MustCompile(`"counter":\d+`), `"counter":NUMBER`},
	{regexp.MustCompile(`_/\S*/commitlog\b`), "_PATH"},
	{regexp.MustCompile(`\b\d+\.\d+\.\d+\.\d+(:\d+)?\b`), "ADDR"},
	{regexp.MustCompile(`\b[0-9A-F]{32,56}\b`), "ID"},
	{regexp.MustCompile(`\b1[6-9]\d{11}\b`), "TIME"},
	{regexp.MustCompile(`\b20\d\d-\d\d-\d\d[ #]\d\d:\d\d:\d\d([.,:]\d+)?`), "TIME"},
}

// maskText masks a text whose own names are masked already.
func maskText(t string) string {
	for _, m := range masks {
		t = m.re.ReplaceAllString(t, m.with)
	}
	return t
}

// refusal stands for any error answer where a Java server fails inside, taken for
// a success there.
const (
	refusal = "refused"
	taken   = "taken"
)

// exception is the text of a failure inside a Java server: the class of an
// exception and where it came from. No client reads it, and no other server can
// have it; that it is there at all is what counts.
var exception = regexp.MustCompile(`^(java\.|com\.alibaba\.|io\.netty\.)[\w.$]+(Exception|Error)\b|^Cannot (invoke|read|enter|load|store|throw|assign|get|unbox) `)

func (s *scene) maskRemark(t string) string {
	return stackFrame.ReplaceAllString(strings.TrimPrefix(s.mask(t), "org.apache.rocketmq.remoting.exception.RemotingCommandException: "), "")
}

// stackFrame is the place of an exception, which Java servers append to its text.
var stackFrame = regexp.MustCompile(`, [\w.$]+\.[\w$<>]+\([\w$]+\.java:\d+\)`)

// volatileFields hold places of the log and versions of tables.
var volatileFields = map[string]bool{
	"commitLogOffset": true, "phyOffset": true, "physicOffset": true, "counter": true, "stateVersion": true,
	"storeSize": true, "bornTimestamp": true, "storeTimestamp": true, "delayTime": true, "consumeTps": true, "totalDiff": true, "totalInflightDiff": true,
	"indexLastUpdatePhyoffset": true, "physicSize": true, // a record has the names of the region and the cluster
	"tranStateTableOffset": true, "transactionOffset": true,
}

// maskField masks the value of a field by its name, too.
func (s *scene) maskField(key, value string) string {
	if set, ok := s.f.settings[key]; ok && value == set {
		return "$" + key // as the broker is set
	}
	if volatileFields[key] && value != "-1" && value != "" && (value != "0" || key == "physicOffset") {
		return "NUMBER"
	}
	return s.mask(value)
}

// look reads a body into fields.
type look func(s *scene, body []byte) []field

// jsonBody notes JSON value by value, anything else as text.
func jsonBody(s *scene, body []byte) []field {
	return readAs(s, body, func(v any) any { return v })
}

func readAs(s *scene, body []byte, pick func(any) any) []field {
	v, standard, err := readJSON(body)
	if err != nil {
		return textBody(s, body)
	}
	dialect := "JSON"
	if !standard {
		dialect = "JSON of fastjson"
	}
	out := []field{{"body", dialect}}
	return s.flatten(out, "body", "", pick(v))
}

// textBody notes a text as it is.
func textBody(s *scene, body []byte) []field {
	if !utf8.Valid(body) {
		return []field{{"body", fmt.Sprintf("%d bytes", len(body))}}
	}
	return []field{{"body", s.mask(string(body))}}
}

// flatten notes every leaf of a JSON value under its path. Arrays are noted
// sorted: what they hold comes out of hash tables.
func (s *scene) flatten(out []field, path, key string, v any) []field {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			return append(out, field{path, "{}"})
		}
		masked := map[string]any{}
		from := map[string]string{}
		keys := make([]string, 0, len(v))
		for k := range v {
			m := s.mask(k)
			masked[m], from[m] = v[k], k
			keys = append(keys, m)
		}
		sort.Strings(keys)
		for _, k := range keys {
			out = s.flatten(out, path+"."+k, from[k], masked[k])
		}
		return out
	case []any:
		if len(v) == 0 {
			return append(out, field{path, "[]"})
		}
		parts := make([][]field, len(v))
		for i, e := range v {
			parts[i] = s.flatten(nil, "", key, e)
		}
		sort.SliceStable(parts, func(i, j int) bool { return fmt.Sprint(parts[i]) < fmt.Sprint(parts[j]) })
		for i, part := range parts {
			for _, f := range part {
				out = append(out, field{fmt.Sprintf("%s[%d]%s", path, i, f.name), f.value})
			}
		}
		return out
	case word:
		return append(out, field{path, strconv.Quote(string(v))})
	case string:
		return append(out, field{path, strconv.Quote(s.maskField(key, v))})
	case json.Number:
		return append(out, field{path, s.maskField(key, v.String())})
	}
	return append(out, field{path, canonical(v)})
}

// ours notes only the entries of a table or list (named by its key, "" for the
// root) that have a name of this run in them: the rest belongs to others.
func ours(keys ...string) look {
	return func(s *scene, body []byte) []field {
		return readAs(s, body, func(v any) any {
			root, ok := v.(map[string]any)
			if !ok {
				return s.own(v)
			}
			for _, k := range keys {
				if k == "" {
					return s.own(v)
				}
				if root[k] != nil {
					root[k] = s.own(root[k])
				}
			}
			return root
		})
	}
}

// offsetTables notes this run's committed offsets. The version of the table, which
// Java moves once in 500 commits, is noted by its form.
func offsetTables(s *scene, body []byte) []field {
	return readAs(s, body, func(v any) any {
		root, ok := v.(map[string]any)
		if !ok {
			return v
		}
		for _, k := range []string{"offsetTable", "groupTopicMap"} {
			root[k] = s.own(root[k])
		}
		root["dataVersion"] = kinds(root["dataVersion"])
		return root
	})
}

// afterDefault notes a topic that is made after the default topic: as many queues
// as the broker's settings give that one are noted so.
func afterDefault(s *scene, body []byte) []field {
	return readAs(s, body, func(v any) any {
		root, ok := v.(map[string]any)
		if !ok {
			return v
		}
		for _, k := range []string{"readQueueNums", "writeQueueNums"} {
			if n, ok := root[k].(json.Number); ok && n.String() == s.f.c.Setting("defaultTopicQueueNums", "8") {
				root[k] = word("defaultTopicQueueNums")
			}
		}
		return root
	})
}

func (s *scene) own(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			if s.mentions(k + canonical(e)) {
				out[k] = e
			}
		}
		return out
	case []any:
		out := []any{}
		for _, e := range v {
			if s.mentions(canonical(e)) {
				out = append(out, e)
			}
		}
		return out
	}
	return v
}

// mentions reports whether a text has a name of this case or of the fixture, and
// none of other cases, which come and go.
func (s *scene) mentions(t string) bool {
	rest := strings.ReplaceAll(strings.ReplaceAll(t, s.f.prefix+"-f-", ""), fmt.Sprintf("%s-%d-", s.f.prefix, s.index), "")
	return rest != t && !strings.Contains(rest, s.f.prefix)
}

// only notes the named keys of a JSON object.
func only(keys ...string) look {
	return func(s *scene, body []byte) []field {
		return readAs(s, body, func(v any) any {
			out := map[string]any{}
			if m, ok := v.(map[string]any); ok {
				for _, k := range keys {
					if e, ok := m[k]; ok {
						out[k] = e
					}
				}
			}
			return out
		})
	}
}

// records notes stored messages.
func records(s *scene, body []byte) []field {
	var out []field
	for i := 0; len(body) > 0; i++ {
		var m message.Message
		n, err := message.Decode(body, &m, false) // origin tells of the checksum
		if err != nil {
			return append(out, field{fmt.Sprintf("body[%d]", i), err.Error()})
		}
		body = body[n:]
		at := fmt.Sprintf("body[%d].", i)
		for _, f := range []field{
			{"topic", m.Topic}, {"queueId", fmt.Sprint(m.QueueID)}, {"queueOffset", fmt.Sprint(m.QueueOffset)},
			{"flag", fmt.Sprint(m.Flag)}, {"sysFlag", fmt.Sprint(m.SysFlag)}, {"reconsumeTimes", fmt.Sprint(m.ReconsumeTimes)},
			{"body", string(m.Body)}, {"prepared", zero(m.PreparedTransactionOffset)}, {"origin", s.origin(&m)},
		} {
			out = append(out, field{at + f.name, s.mask(f.value)})
		}
		out = append(out, s.properties(at+"properties.", m.Properties)...)
	}
	return out
}

// bornAt is the born time of all messages that cases send.
const bornAt = 1700000000000

// origin is where a stored message comes from and whether it is whole, each part
// held against what it must be: the checksum of the body, the time and the address
// of who sent it, and the time and the address of the broker that stored it.
func (s *scene) origin(m *message.Message) string {
	part := func(ok bool, yes string, no any) string {
		if ok {
			return yes
		}
		return fmt.Sprint(no)
	}
	host, err := netip.ParseAddrPort(s.f.broker)
	store := netip.AddrPortFrom(m.StoreHost.Addr().Unmap(), m.StoreHost.Port())
	return strings.Join([]string{
		part(m.BodyCRC == crc32.ChecksumIEEE(m.Body)&math.MaxInt32, "crc fits", "crc does not fit the body"),
		"born " + part(m.BornTimestamp == bornAt, "as sent", part(m.BornTimestamp > bornAt, "TIME", m.BornTimestamp)),
		"by " + part(m.BornHost.Addr().Unmap() == s.f.seen && m.BornHost.Port() > 0, "this client", "ADDR"),
		"stored " + part(m.StoreTimestamp > bornAt, "TIME", m.StoreTimestamp),
		"at " + part(err != nil || store == host, "$broker", "ADDR"), // a broker that goes by a name has some address
	}, ", ")
}

// counted notes how many stored messages a body has.
func counted(_ *scene, body []byte) []field {
	n := 0
	for len(body) > 0 {
		var m message.Message
		size, err := message.Decode(body, &m, true)
		if err != nil {
			return []field{{"body", err.Error()}}
		}
		body = body[size:]
		n++
	}
	return []field{{"body", fmt.Sprintf("%d messages", n)}}
}

// properties takes the property text of a message apart.
func (s *scene) properties(at string, text []byte) []field {
	var out []field
	for k, v := range message.Each(text) {
		out = append(out, field{at + string(k), s.maskField(string(k), string(v))})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].name < out[j].name })
	return out
}

func zero(n int64) string {
	if n == 0 {
		return "0"
	}
	return "NUMBER"
}

// size notes only how a body begins: whether it is there.
func size(_ *scene, body []byte) []field { return []field{{"body", "(something)"}} }

// ownTopics notes the topics of this run in a list of topics, and nothing else.
func ownTopics(s *scene, body []byte) []field {
	return readAs(s, body, func(v any) any {
		m, _ := v.(map[string]any)
		return map[string]any{"topicList": s.own(m["topicList"])}
	})
}
