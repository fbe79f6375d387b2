package arch

import (
	"go/ast"
	"go/types"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// decoders lists the functions that read what somebody else has written, each with the fuzz test of
// its package that feeds it. "make test" runs those on their seeds, "make fuzz" on what it makes of them.
var decoders = map[string]string{
	"codegen.(*Errors).decode":                 "FuzzErrors",
	"codegen.(*Errors).decodeNode":             "FuzzErrors",
	"codegen.DecArray":                         "FuzzDecoder",
	"codegen.DecBinary":                        "FuzzDecoder",
	"codegen.DecBinaryPtr":                     "FuzzDecoder",
	"codegen.DecMap":                           "FuzzDecoder",
	"codegen.DecMessage":                       "FuzzDecoder",
	"codegen.DecPtr":                           "FuzzDecoder",
	"codegen.DecSlice":                         "FuzzDecoder",
	"codegen.DecText":                          "FuzzDecoder",
	"codegen.DecTextPtr":                       "FuzzDecoder",
	"codegen.FindInfos":                        "FuzzFindInfos",
	"codegen.NewDecoder":                       "FuzzDecoder",
	"codegen.ParseInfo":                        "FuzzFindInfos",
	"store/internal/disk.lost":                 "FuzzLost",
	"store/internal/api.(*API).Server":         "FuzzRequest",
	"store/internal/api.checkTxn":              "FuzzTxn",
	"internal/logline.(*Attrs).UnmarshalJSON":  "FuzzParse",
	"internal/logline.Own":                     "FuzzAppend",
	"internal/logline.Parse":                   "FuzzParse",
	"internal/message.(*visitor).take":         "FuzzEnvelopeMsg",
	"internal/message.Read":                    "FuzzRead",
	"internal/message.decode":                  "FuzzWeaveletMsg",
	"internal/message.Unmarshal":               "FuzzWeaveletMsg",
	"internal/message.unmarshal":               "FuzzWeaveletMsg",
	"discover.answer":                          "FuzzAnswer",
	"discover.servers":                         "FuzzServers",
	"discover.watch":                           "FuzzWatch",
	"discover.problem":                         "FuzzAnswer",
	"discover.readCache":                       "FuzzCache",
	"discover.strict":                          "FuzzStrict",
	"discover.syntax":                          "FuzzStrict",
	"discover.unambiguous":                     "FuzzStrict",
	"envelope/runtime.ParseConfig":             "FuzzParseConfig",
	"examples/orderd/positiond.ParseMove":      "FuzzMove",
	"examples/rawdeployer.fields":              "FuzzFields",
	"examples/shop/frontend.jar.open":          "FuzzOpen",
	"examples/shop/frontend.jar.read":          "FuzzOpen",
	"examples/shop/load.parseJourney":          "FuzzParseJourney",
	"examples/shop/load.parseStep":             "FuzzParseJourney",
	"internal/call.(*Server).admit":            "FuzzSession",
	"internal/call.(*Server).identify":         "FuzzSession",
	"internal/call.(*Client).handle":           "FuzzClient",
	"internal/call.(*Client).receive":          "FuzzClient",
	"internal/call/link.(*Link).dispatch":      "FuzzServe",
	"internal/call/link.(*Link).Grant":         "FuzzServe",
	"internal/call.(*session).begin":           "FuzzSession",
	"internal/call.(*session).handle":          "FuzzSession",
	"internal/call.(*session).proceed":         "FuzzSession",
	"internal/call/link.(*Options).meet":       "FuzzHandshake",
	"internal/call/link.Greet":                 "FuzzHandshake",
	"internal/call.NewClient":                  "FuzzClient",
	"internal/call/link.readHello":             "FuzzHandshake",
	"internal/call/link.readPreface":           "FuzzHandshake",
	"internal/call/link.splitAddr":             "FuzzAddr",
	"internal/call/link.(*Link).Stay":          "FuzzServe",
	"internal/call/link.Welcome":               "FuzzHandshake",
	"internal/artifact.(*Store).Begin":         "FuzzBegin",
	"internal/artifact.(*Store).Put":           "FuzzBegin",
	"internal/artifact.(*upload).put":          "FuzzBegin",
	"internal/artifact/archive.NewReader":      "FuzzNewReader",
	"internal/artifact/archive.content.Read":   "FuzzNewReader",
	"internal/artifact/manifest.Parse":         "FuzzParse",
	"internal/artifact/parcel.end":             "FuzzTree",
	"internal/artifact/parcel.ended":           "FuzzTree",
	"internal/artifact/parcel.enter":           "FuzzTree",
	"internal/artifact/parcel.uncompressed":    "FuzzTree",
	"internal/artifact/parcel.whole.Read":      "FuzzTree",
	"internal/config.(*document).decode":       "FuzzDecode",
	"internal/config.(*document).split":        "FuzzParse",
	"internal/config.Decode":                   "FuzzDecode",
	"internal/config.Parse":                    "FuzzParse",
	"internal/config.ParseSingle":              "FuzzParse",
	"internal/config.Read":                     "FuzzRead",
	"internal/config.parseTime":                "FuzzDecode",
	"internal/identity.ParseURI":               "FuzzParseURI",
	"internal/identity.verify":                 "FuzzVerify",
	"internal/identity.ResumeAuthority":        "FuzzRecord",
	"internal/identity.keptRoot.parse":         "FuzzRecord",
	"internal/identity.parseRecord":            "FuzzRecord",
	"internal/control.(*Number).UnmarshalJSON": "FuzzNumber",
	"internal/ensemble.Parse":                  "FuzzParse",
	"internal/ensemble.ReadTable":              "FuzzReadTable",
	"internal/ensemble.read":                   "FuzzReadTable",
	"internal/event.(*Record).UnmarshalJSON":   "FuzzRecord",
	"internal/event.decode":                    "FuzzRecord",
	"internal/operator.(*verb).parse":          "FuzzParse",
	"internal/operator.Parse":                  "FuzzParse",
	"internal/operator.parse":                  "FuzzParse",
	"internal/operator.read":                   "FuzzShelf",
	"internal/keeper/frame.(*Conn).read":       "FuzzServe",
	"internal/keeper/frame.(*reader).read":     "FuzzServe",
	"internal/keeper/frame.decode":             "FuzzServe",
	"internal/keeper/frame.newReader":          "FuzzServe",
	"internal/keeper/frame.parsePassed":        "FuzzServe",
	"internal/keeper/limit.Parse":              "FuzzParse",
	"internal/keeper/limit.ParseAll":           "FuzzParse",
	"internal/keeper/limit.kind.parse":         "FuzzParse",
	"internal/keeper/limit.parseCPUs":          "FuzzParse",
	"internal/probe.Parse":                     "FuzzParse",
	"internal/probe.(*Probe).parsePort":        "FuzzParse",
	"internal/probe.(*Probe).parsePath":        "FuzzParse",
	"internal/probe.(*Probe).parseURL":         "FuzzParse",
	"internal/proc.parseStat":                  "FuzzStat",
	"internal/keeper/record.Read":              "FuzzRead",
	"internal/keeper/journal.Read":             "FuzzRead",
	"internal/keeper/output.(*Output).read":    "FuzzRead",
	"internal/name.ParseComponent":             "FuzzParse",
	"internal/name.ParseServer":                "FuzzParse",
	"internal/notify.parse":                    "FuzzParse",
	"internal/notify.unpack":                   "FuzzUnpack",
	"internal/pipe.(*conn).read":               "FuzzConversation",
	"internal/roster.Read":                     "FuzzRead",
	"internal/roster.parse":                    "FuzzRead",
	"internal/roster.read":                     "FuzzRead",
	"internal/selection.Parse":                 "FuzzParse",
	"internal/selection.parse":                 "FuzzParse",
	"internal/session.ReadCertificate":         "FuzzReadBoot",
	"internal/session.ReadBoot":                "FuzzReadBoot",
	"internal/trace.ParseTraceparent":          "FuzzParseTraceparent",
	"store/internal/server.parseQuestion":      "FuzzQuestion",
	"store/internal/shipment.(*Database).Read": "FuzzOpen",
	"store/internal/shipment.Open":             "FuzzOpen",
	"store/internal/shipment.readMessage":      "FuzzOpen",
	"internal/wire.(*Message).Add":             "FuzzMessage",
	"internal/wire.(*Message).add":             "FuzzMessage",
	"internal/wire.(*Reader).read":             "FuzzFrame",
	"internal/wire.(*Reader).rest":             "FuzzFrame",
	"internal/wire.CheckMagic":                 "FuzzPreface",
	"internal/wire.Frame.ReadBody":             "FuzzFrame",
	"internal/wire.NewMessage":                 "FuzzMessage",
	"internal/wire.NewReader":                  "FuzzFrame",
	"store/consulapi.(*Server).parse":          "FuzzServe",
	"store/consulapi.(*call).decode":           "FuzzServe",
	"store/consulapi.(*pause).UnmarshalJSON":   "FuzzServe",
	"store/consulapi.decodeOperations":         "FuzzServe",
	"store/internal/consul/filter.Parse":       "FuzzParse",
	"store/internal/consul/filter.split":       "FuzzParse",
	"internal/wire.ParseBind":                  "FuzzBind",
	"internal/wire.ParseCredit":                "FuzzFrame",
	"internal/wire.ParseGoAway":                "FuzzFrame",
	"internal/wire.ParseHeader":                "FuzzFrame",
	"internal/wire.ParseHello":                 "FuzzHello",
	"internal/wire.ParsePreface":               "FuzzPreface",
	"internal/wire.ParseSections":              "FuzzMeta",
	"opentelemetry.toSDK":                      "FuzzSpan",
	"internal/program.scan":                    "FuzzScan",
	"cmd/divisi/telemetry.(*logs).read":        "FuzzLog",
	"cmd/divisi/telemetry.(*tail).line":        "FuzzLog",
	"cmd/divisi/telemetry.ParseAttrs":          "FuzzQuery",
	"cmd/divisi/telemetry.ParseQuery":          "FuzzQuery",
	"cmd/divisi/telemetry.parse":               "FuzzEntry",
	"cmd/divisi/telemetry.readEnd":             "FuzzLog",

	"cmd/divisi/ensembles/gerbil.parse": "FuzzConvert",

	"httpd.nameOf":                   "FuzzName",
	"internal/agent.greet":           "FuzzGreet",
	"internal/agent.upgrade":         "FuzzUpgrade",
	"internal/agent.(*through).Read": "FuzzUpgrade",
	"ssh.parseDestination":           "FuzzDestination",

	"servlet.parse": "FuzzParse",

	"oci.(*tree).layer": "FuzzLayer",
	"oci.(*tree).entry": "FuzzLayer",
	"oci.(*tree).put":   "FuzzLayer",
	"oci.(*tree).file":  "FuzzLayer",

	// These decode nothing, but what is made of anything they are given is to hold, too.
	"internal/name.distance":  "FuzzDistance",
	"cmd/divisi/zone.service": "FuzzAnswer",
}

// notDecoders lists functions that look like decoders, with the reason why they are none.
var notDecoders = map[string]string{
	"cmd/divisi/ensembles.parseCounts":            "reads a number, and passes the rest on to name.ParseServer",
	"cmd/divisi/ensembles/history.Shelf.read":     "passes the bytes on to encoding/json",
	"cmd/divisi/configure.command.parse":          "passes the values on to ensemble.ReadTable",
	"cmd/divisi/site.command.read":                "passes the text on to config.Read",
	"cmd/divisi/site.command.decode":              "passes the text on to config.Read",
	"cmd/divisi/ensembles/files.Files.put":        "keeps the bytes",
	"cmd/divisi/ensembles/gerbil.read":            "takes the file as it is",
	"cmd/divisi/ensembles/history.Read":           "takes the file as it is",
	"cmd/divisi/ensembles/history.Revision.Parse": "passes the text on to ensemble.Parse",
	"examples/shop/assets/picture.parseColor":     "reads the pictures that the shop itself draws",
	"discover.File.read":                          "takes the files as they are",
	"discover.readUpTo":                           "takes the file as it is",
	"discover.etcd.read":                          "passes the bytes on to encoding/json",
	"discover/announce.Etcd.Announce":             "sends the bytes",
	"discover/announce.Consul.Announce":           "sends the bytes",
	"discover/announce.Consul.put":                "sends the bytes",
	"discover/announce.send":                      "passes the bytes on to encoding/json",
	"discover/balance.(*watchedBody).Read":        "passes the bytes on",
	"httpd.(*answer).ReadFrom":                    "passes the bytes on",
	"httpd.(*patientBody).Read":                   "passes the bytes on",
	"httpd.parseProgram":                          "reads what the program itself says",
	"envelope.Accept":                             "passes the bytes on to pipe.NewEnvelope",
	"envelope/protomsg.Read":                      "passes the bytes on to message.Read",
	"envelope/protos.Unmarshal":                   "passes the bytes on to message.Unmarshal",
	"examples/shop/assets/picture.readPoints":     "reads the pictures that the shop itself draws",
	"examples/shop/load.parse":                    "reads the user's own flags",
	"examples/shop/load.parseTarget":              "reads the user's own flags",
	"examples/shop/load.readJourney":              "opens the file, which parseJourney decodes",
	"internal/arch/elsewhere.parse":               "passes the user's own source on to go/parser",
	"cmd/divisi/library.read":                     "passes the file on to debug/elf",
	"internal/artifact.leftover.Read":             "copies the bytes",
	"internal/call.(*arrival).Read":               "notes that there are bytes, which the handshakes decode",
	"internal/call.(*session).start":              "passes the bytes on to wire.ParseSections",
	"internal/call/link.(*Link).Read":             "counts the bytes, which the frame reader decodes",
	"internal/call/link.(*Link).ReadLent":         "counts the bytes, which the frame reader decodes",
	"internal/call/link.(*source).ReadLent":       "copies the bytes",
	"internal/call/link.(*source).readFrom":       "copies the bytes",
	"internal/call/link.Cut":                      "closes",
	"internal/call/memnet.(*Conn).Read":           "copies the bytes",
	"internal/call/link.(*Writer).QueueOnly":      "sends",
	"internal/identity.(*Authority).Verify":       "passes the certificates on to verify",
	"internal/identity.(*Trust).Client":           "passes the certificates on to verify",
	"internal/identity.(*Trust).Server":           "passes the certificates on to verify",
	"internal/identity.(*Trust).verify":           "passes the certificates on to verify",
	"internal/gen/emit.(*writer).dec":             "emits code",
	"internal/gen/emit.(*writer).decFunc":         "emits code",
	"internal/gen/emit.(*writer).decHelper":       "emits code",
	"internal/gen/load.(*blanks).parse":           "passes the user's own source on to go/parser",
	"internal/keeper/frame.(*Request).Decode":     "passes the bytes on to encoding/json",
	"internal/keeper/frame.answer.read":           "passes the bytes on to encoding/json",
	"internal/session.(*Session).first":           "passes the bytes on to pipe.NewWeavelet",
	"internal/session.(*Session).next":            "passes the bytes on to pipe.NextWeavelet",
	"internal/proc.ReadStat":                      "opens the file, which parseStat decodes",
	"internal/keeper/output.(*stream).Read":       "passes the bytes on to output.read",
	"internal/memfd.Read":                         "copies the bytes",
	"internal/memfd.create":                       "writes a file",
	"internal/memfd.New":                          "writes a file",
	"internal/drain.(*conn).Read":                 "passes the bytes on to net/http",
	"cmd/divisi/cli.parseTime":                    "reads the user's own flags",
	"cmd/divisi/console.(*Console).Given":         "takes the input as it is",
	"cmd/divisi/console.(*Console).read":          "takes the input as it is",
	"cmd/divisi/dashboard.readToken":              "takes the file as it is",
	"cmd/divisi/run.(*target).read":               "opens the file, which config.Parse decodes",
	"cmd/divisi/migrate.(*Plan).change":           "keeps what a file becomes",
	"cmd/divisi/cli.parseReplicas":                "reads the user's own flags",
	"internal/clock.read":                         "passes the text on to time.ParseDuration",
	"lab/device.(*session).Read":                  "copies bytes of a file",
	"lab/device.(*session).ReadDir":               "writes names for the kernel",
	"lab/disk.(*Disk).Read":                       "copies bytes of a file",
	"lab/disk.(*Disk).store":                      "keeps the bytes as they are",
	"e2e/hosts/subject.(*line).Run":               "passes the bytes on to a command",
	"e2e/browsercheck/subject.line.Run":           "passes the bytes on to a command",
	"e2e/hosts/subject.(*counted).Read":           "counts the bytes",
	"internal/agent.files.ReadFile":               "takes the file as it is",
	"internal/agent.Here.Run":                     "passes the bytes on to a command",
	"internal/agent.DialThrough":                  "passes the connection on to upgrade",
	"internal/agent.Receive":                      "keeps the bytes",
	"internal/keeper/bind.handed":                 "takes a descriptor",
	"internal/sandbox.Machine.Run":                "runs nothing",
	"internal/sandbox.Machine.Execute":            "passes the bytes on to a command",
	"internal/sandbox.Machine.Arrive":             "passes the bytes on",
	"internal/sandbox.(*ending).Read":             "copies the bytes",
	"internal/sandbox.Machine.ask":                "passes the bytes on to a command",
	"internal/sandbox.enter":                      "passes the variable of its own parent on to encoding/json",
	"internal/agent.run":                          "passes the bytes on to a command",
	"internal/agent.read":                         "takes the file as it is",
	"internal/agent.place.Begin":                  "passes the bytes on to another host",
	"internal/agent.place.Put":                    "passes the bytes on to another host",
	"ssh.(*Machine).Run":                          "passes the bytes on to a command",
	"ssh.(*heard).Read":                           "notes that there are bytes, which golang.org/x/crypto/ssh decodes",
	"ssh.endWriting":                              "closes",
	"ssh.read":                                    "passes the file on to golang.org/x/crypto/ssh",
	"ssh.timed":                                   "copies the bytes",
	"internal/keeper/link.ReachOver":              "passes the bytes on to package frame",
	"internal/keeper/link.relayed":                "copies the bytes",
	"internal/server.Local.ReadFile":              "takes the file as it is",
	"internal/drain.(*conn).ReadFrom":             "passes a file on to the connection below",
	"servlet.(*Servlets).answer":                  "passes the body of a request on to an instance",
	"servlet.(*Servlets).compile":                 "passes the file on to wazero",
	"oci.(*bounded).Read":                         "counts the bytes",
	"lab.Machine.Run":                             "passes the bytes on to a command",
	"lab.(*pipes).from":                           "passes the bytes on to a command",
	"lab/inside.ioctl":                            "passes the bytes on to the kernel",
	"lab/protocol.taken":                          "passes the bytes on to golang.org/x/sys/unix",
	"system.Dir.ReadFile":                         "takes the file as it is",

	"cmd/divisi/ensembles/content.(*meter).Put":      "counts the bytes",
	"internal/keeper/lookup.answer":                  "passes the bytes on to encoding/json",
	"store/internal/consul/state.decodeSession":      "passes what the state has written on to package json",
	"store/internal/api.(*blobs).ReadFrom":           "copies the bytes",
	"store/internal/command.(*call).parse":           "passes arguments on to package flag",
	"store/internal/command.compaction.read":         "reads the flags of who starts the program",
	"store/internal/command.Run":                     "passes arguments on to package flag",
	"store/internal/disk.(*Disk).Receive":            "keeps the bytes",
	"store/internal/disk.(*Disk).readAll":            "passes the log on to etcd's, which sums it up",
	"store/internal/disk.(*Disk).readLog":            "passes the log on to etcd's, which sums it up",
	"store/internal/drive.(*Core).Propose":           "keeps the bytes",
	"store/internal/drive.(*Core).ReadIndex":         "keeps the bytes",
	"store/internal/drive.(*Driver).Propose":         "keeps the bytes",
	"store/internal/drive.(*Driver).ReadIndex":       "keeps the bytes",
	"store/internal/drive.(*Driver).ReadState":       "returns a channel",
	"store/internal/listen.(*peeked).Read":           "copies the bytes",
	"store/internal/listen.accepted.ClientHandshake": "fails",
	"store/internal/listen.accepted.ServerHandshake": "passes the connection on",
	"store/internal/server.(*Server).Receive":        "passes the state on to shipment.Open",
	"store/internal/server.(*Server).MayRead":        "compares the key with those of permissions",
	"store/internal/server.(*Server).readable":       "compares the key with those of permissions",
	"store/internal/server.alone.Ask":                "fails",

	"internal/deployer/mtls.(*Authority).Client": "passes the certificates on to identity.Authority.Verify",
	"internal/deployer/mtls.(*Authority).Server": "passes the certificates on to identity.Authority.Verify",
	"internal/deployer/mtls.(*Authority).save":   "keeps the bytes",
	"internal/launch.(*Vault).Save":              "keeps the bytes",
}

var (
	// decoding is how functions are named that decode.
	decoding = regexp.MustCompile(`^((?i:parse|unmarshal|dec|decode|read|scan|split)([A-Z].*)?|(?i:new)(Decoder|Reader)|FindInfos)$`)

	// foreignBytes are the parameters by which functions are handed what somebody else has
	// written. Those that may fail decode it, unless their names say that they write it.
	foreignBytes = []string{"[]byte", "[][]byte", "io.Reader", "io.ReaderAt", "*bufio.Reader", "net.Conn",
		"Frame", "wire.Frame", "*Decoder", "*codegen.Decoder"}
	writing = regexp.MustCompile(`^(?i:append|send|write)`)
)

// TestDecodersAreFuzzed fails for what decodes and is in neither list, for what is in one and does
// not exist, and for fuzz tests without a seed.
func TestDecodersAreFuzzed(t *testing.T) {
	exists, fuzzed, seeding := map[string]bool{}, map[string]*ast.FuncDecl{}, map[string]bool{}
	for _, s := range sources(t) {
		if isGenerated(s.file) || slices.Contains([]string{"tools", "conformance", "bench"}, strings.Split(s.pkg, "/")[0]) {
			continue
		}
		for _, decl := range s.syntax.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			name := s.pkg + "." + receiver(f) + f.Name.Name
			switch {
			case !isTest(s.file):
				exists[name] = true
				if decodes(f) && decoders[name] == "" && notDecoders[name] == "" {
					t.Errorf("%s decodes, but is not in decoders: write a fuzz test that feeds it", name)
				}
			case takes(f, "*testing.F"):
				seeding[name] = callsOf(f)["f.Add"]
				if strings.HasPrefix(f.Name.Name, "Fuzz") {
					fuzzed[name] = f
				}
			}
		}
	}
	fed := map[string]bool{}
	for decoder, fuzz := range decoders {
		name := pkgOf(decoder) + "." + fuzz
		fed[name] = true
		if !exists[decoder] || fuzzed[name] == nil {
			t.Errorf("decoders has %s, to be fed by %s: one of them does not exist", decoder, name)
		}
	}
	for name := range notDecoders {
		if !exists[name] || decoders[name] != "" {
			t.Errorf("notDecoders has %s, which does not exist, or is in decoders", name)
		}
	}
	for name, f := range fuzzed {
		if !fed[name] {
			t.Errorf("%s is in no entry of decoders: say what it feeds", name)
		}
		seeded := seeding[name]
		for called := range callsOf(f) {
			seeded = seeded || seeding[pkgOf(name)+"."+called]
		}
		files, _ := os.ReadDir(path.Join("../..", pkgOf(name), "testdata/fuzz", f.Name.Name))
		if !seeded && len(files) == 0 {
			t.Errorf("%s has no seeds: f.Add some, or put them into testdata/fuzz", name)
		}
	}
}

// decodes reports whether a function decodes by its name or by its signature.
func decodes(f *ast.FuncDecl) bool {
	if decoding.MatchString(f.Name.Name) {
		return true
	}
	mayFail := f.Type.Results != nil && slices.ContainsFunc(f.Type.Results.List,
		func(r *ast.Field) bool { return types.ExprString(r.Type) == "error" })
	return mayFail && !writing.MatchString(f.Name.Name) && takes(f, foreignBytes...)
}

// takes reports whether a function has a parameter of one of some types.
func takes(f *ast.FuncDecl, typ ...string) bool {
	return slices.ContainsFunc(f.Type.Params.List,
		func(p *ast.Field) bool { return slices.Contains(typ, types.ExprString(p.Type)) })
}

// receiver returns what stands before the name of a method: "T." or "(*T).", without the
// parameters of types.
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	typ, _, _ := strings.Cut(types.ExprString(f.Recv.List[0].Type), "[")
	if strings.HasPrefix(typ, "*") {
		typ = "(" + typ + ")"
	}
	return typ + "."
}

// callsOf returns what a function calls, as it is written there.
func callsOf(f *ast.FuncDecl) map[string]bool {
	calls := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			calls[types.ExprString(call.Fun)] = true
		}
		return true
	})
	return calls
}

// pkgOf returns the folder in a name such as internal/call.(*session).begin, or . in ..Run.
func pkgOf(name string) string {
	begin := strings.LastIndex(name, "/") + 2
	return name[:begin+strings.Index(name[begin:], ".")]
}
