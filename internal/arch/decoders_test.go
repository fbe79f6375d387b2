package arch

import (
	"go/ast"
	"regexp"
	"testing"
)

// decoders lists every function that reads what somebody else has written, by package and name, with
// the fuzz test that feeds it. "make fuzz" runs those, and "make test" each for some seconds.
var decoders = map[string]string{
	"internal/name.ParseComponent":      "internal/name.FuzzParse",
	"internal/name.ParseServer":         "internal/name.FuzzParse",
	"internal/trace.ParseTraceparent":   "internal/trace.FuzzParseTraceparent",
	"internal/config.Parse":             "internal/config.FuzzParse",
	"internal/config.Decode":            "internal/config.FuzzDecode",
	"envelope/runtime.ParseConfig":      "internal/config.FuzzParse",
	"internal/wire.ParseHeader":         "internal/wire.FuzzFrame",
	"internal/wire.NewReader":           "internal/wire.FuzzFrame",
	"internal/wire.ParseBind":           "internal/wire.FuzzBind",
	"internal/wire.ParseCredit":         "internal/wire.FuzzFrame",
	"internal/wire.ParseGoAway":         "internal/wire.FuzzFrame",
	"internal/wire.ParseSections":       "internal/wire.FuzzMeta",
	"internal/wire.ParsePreface":        "internal/wire.FuzzPreface",
	"internal/wire.ParseHello":          "internal/wire.FuzzHello",
	"codegen.NewDecoder":                "codegen.FuzzDecoder",
	"codegen.ParseInfo":                 "codegen.FuzzFindInfos",
	"codegen.FindInfos":                 "codegen.FuzzFindInfos",
	"envelope/protos.Unmarshal":         "envelope/protos.FuzzEnvelopeMsg",
	"envelope/protomsg.Read":            "envelope/protomsg.FuzzRead",
	"internal/keeper.records":           "internal/keeper.FuzzJournal",
	"examples/shop/load.parseJourney":   "examples/shop/load.FuzzParseJourney",
	"examples/shop/frontend.open":       "examples/shop/frontend.FuzzOpen",
	"internal/call.handshake":           "internal/call.FuzzHandshake",
	"internal/call.session":             "internal/call.FuzzSession",
	"internal/call.client":              "internal/call.FuzzClient",
	"internal/call.address":             "internal/call.FuzzAddr",
	"internal/wire.message":             "internal/wire.FuzzMessage",
	"codegen.errors":                    "codegen.FuzzErrors",
	"envelope/protos.UnmarshalWeavelet": "envelope/protos.FuzzWeaveletMsg",
	"internal/name.distance":            "internal/name.FuzzDistance",
	"internal/weavelet.writeLine":       "internal/weavelet.FuzzWriteLine",
	"platform/telemetry.parse":          "platform/telemetry.FuzzEntry",
	"platform/telemetry.ParseQuery":     "platform/telemetry.FuzzQuery",
	"internal/keeper.output":            "internal/keeper.FuzzRead",
}

// decoding is how functions are named that decode.
var decoding = regexp.MustCompile(`^(Parse|Unmarshal|Decode|Read|NewDecoder|NewReader|FindInfos)`)

// TestDecodersAreFuzzed fails for a decoder that is not listed, a fuzz test that does not exist, and
// a fuzz test that is not in the list.
func TestDecodersAreFuzzed(t *testing.T) {
	fuzzed := map[string]bool{}
	listed := map[string]bool{}
	for _, fuzz := range decoders {
		listed[fuzz] = true
	}
	for _, s := range sources(t) {
		floor, _ := floor(s.pkg)
		for _, decl := range s.syntax.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv != nil {
				continue
			}
			name := s.pkg + "." + f.Name.Name
			switch {
			case isTest(s.file):
				if len(f.Name.Name) > 4 && f.Name.Name[:4] == "Fuzz" {
					fuzzed[name] = true
					if !listed[name] {
						t.Errorf("%s is in no entry of decoders: say what it feeds", name)
					}
				}
			case floor < 5 && decoding.MatchString(f.Name.Name) && decoders[name] == "":
				t.Errorf("%s decodes, but is not in decoders: write a fuzz test for it", name)
			}
		}
	}
	for decoder, fuzz := range decoders {
		if !fuzzed[fuzz] {
			t.Errorf("%s is to be fed by %s, which does not exist", decoder, fuzz)
		}
	}
}
