package calls

import (
	"encoding/json"
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Exporters and dashboards take the texts of GET_BROKER_RUNTIME_INFO (28) apart:
// what a value looks like and whether it can be true is compared, not the value.

// word is a text of ours in the place of a server's: no names are looked for in it.
type word string

// format is a kind of text, with its bounds.
type format struct {
	name string
	re   *regexp.Regexp
	// holds says that a text of this form can be true; nil is always.
	holds func(text string, all map[string]any) bool
}

const (
	double = `-?\d+(\.\d+)?(E-?\d+)?`
	bytes  = `\d+(\.\d)? ([KMGTPE]i)?B`
)

func form(name, re string, holds func(string, map[string]any) bool) format {
	return format{name, regexp.MustCompile("^(" + re + ")$"), holds}
}

// within holds for numbers from low to high.
func within(low, high float64) func(string, map[string]any) bool {
	return func(text string, _ map[string]any) bool {
		v, err := strconv.ParseFloat(text, 64)
		return err == nil && v >= low && v <= high
	}
}

// atLeast holds for numbers that are not below another one of the answer.
func atLeast(key string) func(string, map[string]any) bool {
	return func(text string, all map[string]any) bool {
		other, _ := all[key].(string)
		low, err := strconv.ParseFloat(other, 64)
		v, err2 := strconv.ParseFloat(text, 64)
		return err == nil && err2 == nil && v >= low
	}
}

// around2001 and tomorrow bound what may be a time in milliseconds.
const around2001 = 1e12

func aTime(text string, all map[string]any) bool {
	return within(around2001, float64(time.Now().Add(24*time.Hour).UnixMilli()))(text, all)
}

var (
	count = form("a number", `\d+`, nil)
	exact = form("", `.*`, nil)
	ratio = form("a share from 0 to 1, or -1", double, func(text string, all map[string]any) bool {
		return within(0, 1)(text, all) || text == "-1.0"
	})
	moment = form("a time", `\d{13}`, aTime)
	// Java has no samples for the first minutes, and leaves out what it has not got.
	rates = form("three rates", `(`+double+`)? (`+double+`)? (`+double+`)?|`+double+`|`, nil)
)

// formats has the form of each key; others are numbers of some kind.
var formats = map[string]format{
	"brokerVersion": exact, "brokerVersionDesc": exact, "brokerActive": exact,
	"bootTimestamp":                   moment,
	"runtime":                         form("days, hours, minutes, seconds", `\[ \d+ days, \d+ hours, \d+ minutes, \d+ seconds \]`, nil),
	"commitLogDirCapacity":            form("total and free bytes", `Total : `+bytes+`, Free : `+bytes+`\.`, nil),
	"commitLogDiskRatio":              ratio,
	"commitLogDiskRatio_PATH":         ratio,
	"consumeQueueDiskRatio":           ratio,
	"commitLogMaxOffset":              form("a number, not below the minimum", `\d+`, atLeast("commitLogMinOffset")),
	"earliestMessageTimeStamp":        form("a time, or -1", `\d{13}|-1`, func(t string, all map[string]any) bool { return t == "-1" || aTime(t, all) }),
	"msgPutTotalTodayNow":             form("a number, not below that of the morning", `\d+`, atLeast("msgPutTotalTodayMorning")),
	"msgGetTotalTodayNow":             form("a number, not below that of the morning", `\d+`, atLeast("msgGetTotalTodayMorning")),
	"putTps":                          rates,
	"getFoundTps":                     rates,
	"getMissTps":                      rates,
	"getTotalTps":                     rates,
	"getTransferredTps":               rates,
	"putLatency99":                    form("a rate", double, nil),
	"putLatency999":                   form("a rate", double, nil),
	"putMessageAverageSize":           form("a rate", double, within(0, 1<<31)),
	"putMessageTimesTotal":            form("a number above 0", `[1-9]\d*`, nil),
	"putMessageDistributeTime":        form("counts by latency, or nothing yet", `(\[[^\]]+\]:\d+ ?)*|null|`, nil),
	"remainHowManyDataToFlush":        form("bytes", bytes, nil),
	"startAcceptSendRequestTimeStamp": form("a time, or 0", `\d{13}|0`, nil),
	"timerEnqueueTps":                 form("a rate", double, nil),
	"timerDequeueTps":                 form("a rate", double, nil),
}

// note is the name of a text's form, or what is wrong with it.
func (f *format) note(text string, all map[string]any) string {
	switch {
	case !f.re.MatchString(text):
		return fmt.Sprintf("%q, which is not %s", text, f.name)
	case f.holds != nil && !f.holds(text, all):
		return fmt.Sprintf("%q, out of bounds for %s", text, f.name)
	case f.name == "":
		return text
	}
	return f.name
}

// runtime notes what a broker measures by form. Delay levels appear with their
// first message, disks by their path; both have a form, too.
func runtime(s *scene, body []byte) []field {
	return readAs(s, body, func(v any) any {
		root, _ := v.(map[string]any)
		m, _ := root["table"].(map[string]any)
		out := map[string]any{}
		level := form("two offsets", `\d+,\d+`, nil)
		for k, v := range m {
			text, ok := v.(string)
			if !ok {
				out[k] = v
				continue
			}
			if strings.HasPrefix(k, "scheduleMessageOffset_") {
				if n := level.note(text, m); n != level.name {
					out[k] = word(n)
				}
				continue
			}
			f, ok := formats[s.mask(k)]
			if !ok {
				f = count
			}
			out[k] = word(f.note(text, m))
		}
		return map[string]any{"table": out}
	})
}

// shape notes the names in a JSON body and the form of each value: statistics,
// which are never negative. Texts and booleans are noted by their kind.
func shape(s *scene, body []byte) []field {
	return readAs(s, body, kinds)
}

func kinds(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = kinds(e)
		}
		return v
	case []any:
		for i, e := range v {
			v[i] = kinds(e)
		}
		return v
	case string:
		return word("a text")
	case json.Number:
		if strings.HasPrefix(v.String(), "-") && v.String() != "-1" {
			return word("a negative number")
		}
		return word("a number")
	}
	return v
}

// settings notes lines "key=value" of the given keys by their form: the values are
// the operator's. Of the others that they are there is not noted, because versions
// differ in them.
func settings(keys ...string) look { return lines(settingForm, keys) }

// properties notes lines "key=value" of the given keys as they are.
func properties(keys ...string) look {
	return lines(func(s *scene, v string) string { return s.mask(v) }, keys)
}

func lines(note func(*scene, string) string, keys []string) look {
	return func(s *scene, body []byte) []field {
		out := []field{}
		for _, line := range strings.Split(string(body), "\n") {
			k, v, ok := strings.Cut(line, "=")
			for _, want := range keys {
				if ok && k == want {
					out = append(out, field{"body." + k, note(s, v)})
				}
			}
		}
		sort.Slice(out, func(i, j int) bool { return out[i].name < out[j].name })
		return out
	}
}

// setNumbers are those of settings, of which some may have several.
var setNumbers = regexp.MustCompile(`^\d+(;\d+)*$`)

func settingForm(s *scene, v string) string {
	switch m := s.mask(v); {
	case m == "$brokerName", m == "$cluster":
		return m
	case v == "true", v == "false":
		return "yes or no"
	case setNumbers.MatchString(v):
		return "a number"
	case v == "":
		return "nothing"
	}
	return "a text"
}
