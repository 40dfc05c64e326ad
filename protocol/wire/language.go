package wire

import "strings"

// Language is the LanguageCode of a peer: its name travels in the JSON header,
// its number in the binary one.
type Language uint8

// Languages (LanguageCode). LanguageUnknown stands for a name or number that
// RocketMQ does not know; the JSON header leaves it out.
const (
	Java            Language = 0
	CPP             Language = 1
	DotNet          Language = 2
	Python          Language = 3
	Delphi          Language = 4
	Erlang          Language = 5
	Ruby            Language = 6
	Other           Language = 7
	HTTP            Language = 8
	Go              Language = 9
	PHP             Language = 10
	OMS             Language = 11
	Rust            Language = 12
	NodeJS          Language = 13
	LanguageUnknown Language = 255
)

// languageNames in the order of the numbers.
var languageNames = [...]string{
	"JAVA", "CPP", "DOTNET", "PYTHON", "DELPHI", "ERLANG", "RUBY", "OTHER",
	"HTTP", "GO", "PHP", "OMS", "RUST", "NODE_JS",
}

// String returns RocketMQ's name of the language, or "" for an unknown one.
func (l Language) String() string {
	if int(l) < len(languageNames) {
		return languageNames[l]
	}
	return ""
}

// LanguageByName finds a language by its name. Like the Java reader it also takes
// the name in lower case; any other text gives LanguageUnknown.
func LanguageByName(name string) Language {
	for i, n := range languageNames {
		if n == name {
			return Language(i)
		}
	}
	for i, n := range languageNames {
		if strings.EqualFold(n, name) {
			return Language(i)
		}
	}
	return LanguageUnknown
}

// languageByNumber maps the byte of the binary header, or a number in a JSON one.
func languageByNumber(n int64) Language {
	if n >= 0 && n < int64(len(languageNames)) {
		return Language(n)
	}
	return LanguageUnknown
}

// Names lists the names by number, for the JSON bodies that carry a language.
func (Language) Names() []string { return languageNames[:] }
