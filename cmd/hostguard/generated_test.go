package main

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/checks/all"
	"github.com/hostguard/hostguard/internal/attested"
	"github.com/hostguard/hostguard/internal/config"
	"github.com/hostguard/hostguard/internal/schema"
	"github.com/hostguard/hostguard/internal/strictyaml"
	"github.com/hostguard/hostguard/rules"
)

// make generate runs these tests with -update.
var update = flag.Bool("update", false, "write the generated files anew")

const top = "../.."

func TestGeneratedSchemas(t *testing.T) {
	t.Parallel()
	set := rules.Embedded()
	generated(t, "rules/rule.schema.json", schemaText(t, ruleSchema(all.Families)))
	generated(t, "rules/configuration.schema.json", schemaText(t, configSchema(set, all.Families)))
}

func TestGeneratedRequirements(t *testing.T) {
	t.Parallel()
	generated(t, "docs/requirements.md", requirementsPage(rules.Embedded()))
}

func TestGeneratedConfigurationPage(t *testing.T) {
	t.Parallel()
	generated(t, "docs/configuration.md", configurationPage())
}

func TestGeneratedRulePages(t *testing.T) {
	t.Parallel()
	set := rules.Embedded()
	pages := map[string][]byte{"README.md": rulesIndex(set)}
	for i := range set.Rules {
		pages[set.Rules[i].ID+".md"] = rulePage(set, &set.Rules[i], checksByName(all.Families))
	}
	for name, text := range pages {
		generated(t, "docs/rules/"+name, text)
	}
	files, err := os.ReadDir(filepath.Join(top, "docs/rules"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if pages[f.Name()] != nil {
			continue
		}
		if !*update {
			t.Errorf("docs/rules/%s belongs to no rule: run make generate", f.Name())
		} else if err := os.Remove(filepath.Join(top, "docs/rules", f.Name())); err != nil {
			t.Error(err)
		}
	}
}

// generated compares a file of the tree with what it must hold, or writes it.
func generated(t *testing.T, name string, want []byte) {
	t.Helper()
	path := filepath.Join(top, name)
	got, err := os.ReadFile(path)
	if err == nil && bytes.Equal(got, want) {
		return
	}
	if !*update {
		t.Errorf("%s is stale: run make generate", name)
		return
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, want, 0o644); err != nil {
		t.Fatal(err)
	}
}

// namedTypes are the types whose values are a few words.
var namedTypes = schema.Named{
	reflect.TypeFor[rules.Severity]():   {"enum": anyOf(rules.SeverityNames)},
	reflect.TypeFor[rules.Level]():      {"enum": anyOf(rules.LevelNames)},
	reflect.TypeFor[config.Choice]():    {"enum": []any{"any", "yes", "no"}},
	reflect.TypeFor[attested.Date]():    {"type": "string", "pattern": `^[0-9]{4}-[0-9]{2}-[0-9]{2}$`},
	reflect.TypeFor[config.Folders]():   {"oneOf": []any{schema.Object{"type": "string"}, schema.Object{"type": "array", "items": schema.Object{"type": "string"}}}},
	reflect.TypeFor[config.Addresses](): {"oneOf": []any{schema.Object{"type": "string"}, schema.Object{"type": "array", "items": schema.Object{"type": "string"}}}},
	reflect.TypeFor[[]config.Port]():    {"type": "array", "items": schema.Object{"type": "string", "pattern": `^[1-9][0-9]*/(tcp|udp)$`}},
	reflect.TypeFor[[]config.Server]():  texts,
	reflect.TypeFor[[]config.Account](): texts,
	reflect.TypeFor[[]config.Prefix]():  texts,
	reflect.TypeFor[[]config.Unit]():    texts,
}

var texts = schema.Object{"type": "array", "items": schema.Object{"type": "string"}}

func anyOf(words []string) []any {
	list := make([]any, len(words))
	for i, w := range words {
		list[i] = w
	}
	return list
}

// ruleSchema is the schema of a rule file: which parameters a rule may have
// follows from its check.
func ruleSchema(families [][]checks.Check) schema.Object {
	rule := namedTypes.Of(reflect.TypeFor[rules.Rule](), nil)
	properties := rule["properties"].(schema.Object)
	properties["id"].(schema.Object)["pattern"] = "^[A-Z]{2,4}-[0-9]{3}$"
	properties["title"].(schema.Object)["maxLength"] = 72
	properties["source"].(schema.Object)["minItems"] = 1
	properties["tags"].(schema.Object)["minItems"] = 1
	properties["configured"].(schema.Object)["additionalProperties"] = schema.Object{"enum": anyOf(config.Keys())}
	known := checksByName(families)
	names := slices.Sorted(maps.Keys(known))
	properties["check"].(schema.Object)["enum"] = anyOf(names)
	perCheck := []any{}
	for _, name := range names {
		params := paramsSchema(known[name])
		perCheck = append(perCheck, schema.Object{
			"if": schema.Object{"properties": schema.Object{"check": schema.Object{"const": name}}, "required": []any{"check"}},
			"then": schema.Object{"properties": schema.Object{
				"params":     params,
				"configured": schema.Object{"propertyNames": schema.Object{"enum": anyOf(slices.Sorted(maps.Keys(params["properties"].(schema.Object))))}},
			}},
		})
	}
	rule["allOf"] = perCheck
	return schema.Object{
		"$schema": schema.Draft, "title": "Rules of hostguard",
		"description": "A file in rules/<family>/ or /etc/hostguard/rules.d/.",
		"type":        "array", "items": rule,
	}
}

func paramsSchema(c *checks.Check) schema.Object {
	if c.Defaults == nil {
		return schema.Object{"type": "object", "additionalProperties": false, "properties": schema.Object{}}
	}
	return namedTypes.Of(reflect.TypeOf(c.Defaults), c.Defaults)
}

func configSchema(set *rules.Set, families [][]checks.Check) schema.Object {
	s := namedTypes.Of(reflect.TypeFor[config.Config](), nil)
	known, perRule := checksByName(families), schema.Object{}
	for _, r := range set.Rules {
		if c := known[r.Check]; c != nil {
			params := paramsSchema(c)
			params["description"] = r.Title
			perRule[r.ID] = params
		}
	}
	parameters := s["properties"].(schema.Object)["parameters"].(schema.Object)
	parameters["properties"] = perRule
	s["$schema"], s["title"], s["description"] = schema.Draft, "Configuration of hostguard", "The file "+config.DefaultFile+"."
	return s
}

func schemaText(t *testing.T, s schema.Object) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := writeJSON(&b, s); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// The schemas accept the embedded rules and the configuration that init
// writes, and refuse what the loader refuses for its form.
func TestSchemas(t *testing.T) {
	t.Parallel()
	rule := compileSchema(t, readTree(t, "rules/rule.schema.json"))
	files, err := filepath.Glob(filepath.Join(top, "rules/*/*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if filepath.Base(filepath.Dir(file)) == "profiles" {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := rule.Validate(plainYAML(t, string(data))); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	rule = compileSchema(t, schemaText(t, ruleSchema(testFamilies)))
	for name, c := range map[string]struct {
		text string
		good bool
	}{
		"good":                       {testRules, true},
		"unknown key":                {strings.Replace(testRules, "severity", "sevrity", 1), false},
		"unknown severity":           {strings.Replace(testRules, "high", "huge", 1), false},
		"unknown check":              {strings.Replace(testRules, "check: clock", "check: clokc", 1), false},
		"unknown parameter":          {strings.Replace(testRules, "max: 5s", "maxx: 5s", 1), false},
		"parameter of another check": {testRules + "  params: {max: 5s}\n", false},
		"parameter of a wrong type":  {strings.Replace(testRules, "max: 5s", "max: [5s]", 1), false},
		"configured, no such key":    {strings.Replace(testRules, "ntp.servers", "ntp.server", 1), false},
		"configured, no such param":  {strings.Replace(testRules, "{servers:", "{server:", 1), false},
		"no source":                  {strings.Replace(testRules, "[TC-01]", "[]", 1), false},
	} {
		if err := rule.Validate(plainYAML(t, c.text)); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}

	cfg := compileSchema(t, readTree(t, "rules/configuration.schema.json"))
	for name, c := range map[string]struct {
		text string
		good bool
	}{
		"what init writes": {string(configText(nil)) + "\nprofile: x\n", true},
		"every example":    {uncommented(configText(nil)), true},
		"unknown key":      {"waivers: []\n", false},
		"wrong port":       {"ports: {allow: [9100]}\n", false},
		"one folder":       {"connector: {dir: /a}\n", true},
	} {
		if err := cfg.Validate(plainYAML(t, c.text)); (err == nil) != c.good {
			t.Errorf("configuration, %s: %v", name, err)
		}
	}
}

func plainYAML(t *testing.T, text string) any {
	t.Helper()
	n, err := strictyaml.Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return n.Plain()
}

func readTree(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(top, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func compileSchema(t *testing.T, data []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const generatedMark = "<!-- Generated from rules/ by make generate: do not edit. -->\n\n"

func requirementsPage(set *rules.Set) []byte {
	var b bytes.Buffer
	b.WriteString(generatedMark)
	b.WriteString("# Requirements\n\nEvery requirement of the source documents, and the rules that answer it. " +
		"**M**: answered by machine. **A**: by attestation, because no program on the host can see it. **F**: `fix` can mend it. " +
		"A row that is *open* has no rule yet.\n")
	for _, section := range set.Requirements {
		fmt.Fprintf(&b, "\n## %s\n\nProfiles: `%s`\n\n| id | requirement | how | rules |\n|---|---|---|---|\n", section.Title, strings.Join(section.Profiles, "`, `"))
		for _, row := range section.Rows {
			links := []string{}
			for _, id := range set.Answering(row.ID) {
				links = append(links, fmt.Sprintf("[%s](rules/%s.md)", id, id))
			}
			if len(links) == 0 {
				links = []string{"*open*"}
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", row.ID, cell(row.Text), row.How, strings.Join(links, " "))
		}
	}
	return b.Bytes()
}

// markdown keeps plain text as it is: what would be markup is escaped, but for
// code between backticks.
func markdown(text string) string {
	parts := strings.Split(text, "`")
	for i := 0; i < len(parts); i += 2 {
		parts[i] = strings.NewReplacer("<", `\<`, "*", `\*`, "[", `\[`).Replace(parts[i])
	}
	return strings.Join(parts, "`")
}

// cell is markdown in a table.
func cell(text string) string { return strings.ReplaceAll(markdown(text), "|", `\|`) }

func configurationPage() []byte {
	var b bytes.Buffer
	b.WriteString(generatedMark)
	fmt.Fprintf(&b, `# Configuration

hostguard works without any. `+"`%s`"+` (or `+"`--config FILE`"+`) says what it cannot discover and
what is different on this host; `+"`hostguard init`"+` writes one from what it finds, and `+"`hostguard lint`"+`
finds mistakes. Every key is optional. An unknown key, a wrong type, a parameter of a rule that is
not in the profile: each is an error with its line and column, and nothing is run.

The file, the folders above it and every link on the way must belong to root, and neither file nor
folders may be writable by group or others: whoever writes it decides what counts as safe. With
`+"`--root`"+` the configuration of this host does not speak for the tree: name one with `+"`--config`"+`.

`+"```yaml\n%s```"+`

## Parameters

Each rule hands parameters to its check. In force is, each laid over the ones before:

1. the check's default,
2. the rule's `+"`params`"+`,
3. the profile's `+"`params`"+` for the rule,
4. the key above that the rule names in `+"`configured`"+`,
5. `+"`parameters: {RULE: {…}}`"+` above.

A list or mapping replaces the one before; of a nested parameter only the given keys change.
`+"`hostguard explain RULE`"+` shows the values in force and where each comes from.

## Rules of your own

Files `+"`%s/*.yaml`"+`, and those in the folder `+"`--rules`"+` names, hold more rules in the form of
[rule.schema.json](../rules/rule.schema.json). They must be as safe as the configuration. They join
the profile: as required, or as advice with `+"`level: advice`"+`. They may use every check
(`+"`hostguard list checks`"+`, `+"`hostguard explain CHECK`"+`); their `+"`source`"+` may name a document of your own. An id that
exists is an error: an embedded rule is changed by its parameters only.

`+"```yaml"+`
- id: ACME-001
  title: The backup agent runs
  rationale: Without it there is no way back.
  source: [ACME handbook 7]
  severity: medium
  tags: [backup]
  check: unit-state
  params: {unit: backup.service, enabled: true, active: true}
  level: advice
  remediation:
    hint: systemctl enable --now backup.service
`+"```\n", config.DefaultFile, configText(nil), rulesFolder)
	return b.Bytes()
}

// The rule that the page shows is one.
func TestConfigurationPageExample(t *testing.T) {
	t.Parallel()
	_, example, _ := strings.Cut(string(configurationPage()), "```yaml\n- id")
	example, _, _ = strings.Cut("- id"+example, "```")
	set := rules.Embedded()
	if err := set.Add("example", []byte(example)); err != nil {
		t.Fatal(err)
	}
	if _, err := bind(set, set.Profile(config.DefaultProfile), all.Families, &config.Config{}); err != nil {
		t.Error(err)
	}
}

func rulesIndex(set *rules.Set) []byte {
	var b bytes.Buffer
	b.WriteString(generatedMark)
	b.WriteString("# Rules\n\nWhat hostguard requires of a host; `hostguard explain ID` says the same with the parameters in force.\n")
	for _, p := range set.Profiles {
		fmt.Fprintf(&b, "\n## %s: `%s`\n\n| rule | level | severity | requirement | answers |\n|---|---|---|---|---|\n", p.Title, p.Name)
		for _, e := range p.Rules {
			r := set.Rule(e.ID)
			fmt.Fprintf(&b, "| [%s](%s.md) | %s | %s | %s | %s |\n", r.ID, r.ID, e.Level, r.Severity, cell(r.Title), strings.Join(r.Source, " "))
		}
	}
	return b.Bytes()
}

func rulePage(set *rules.Set, r *rules.Rule, known map[string]*checks.Check) []byte {
	var b bytes.Buffer
	b.WriteString(generatedMark)
	fmt.Fprintf(&b, "# %s: %s\n\nSeverity %s; tags %s.\n", r.ID, r.Title, r.Severity, strings.Join(r.Tags, ", "))
	for _, p := range set.Profiles {
		if e := p.Entry(r.ID); e != nil {
			level := e.Level.String()
			if w := e.RequiredWhen; w != nil {
				level += fmt.Sprintf(", required when `%s` in hostguard.yaml is `%s`", w.Key, w.Is)
			}
			fmt.Fprintf(&b, "In the profile `%s`: %s.\n", p.Name, level)
		}
	}
	section := func(title, text string) { fmt.Fprintf(&b, "\n## %s\n\n%s\n", title, strings.TrimSpace(text)) }
	section("Why it matters", markdown(r.Rationale))
	var sources []string
	for _, id := range r.Source {
		sources = append(sources, "- [`"+id+"`](../requirements.md): "+markdown(sentence(set.Requirement(id).Text)))
	}
	section("The requirement", strings.Join(sources, "\n"))
	if c := known[r.Check]; c != nil {
		section("What is looked at: check `"+c.Name+"`", markdown(c.Looks))
		section("What cannot be seen", markdown(c.Blind))
		bound, err := bindRule(r, known, layersOf(r, nil, "", &config.Config{}), nil)
		if err == nil && bound.Params != nil {
			section("Parameters", paramsTable(bound))
		}
	}
	section("How to mend it by hand", markdown(r.Remediation.Hint))
	section("What `hostguard fix` does", markdown(whatFixDoes(r.Check)))
	if len(r.References) > 0 {
		var refs []string
		for _, ref := range r.References {
			refs = append(refs, "- "+ref.Framework+": "+ref.ID)
		}
		section("References", strings.Join(refs, "\n"))
	}
	return b.Bytes()
}

func paramsTable(b bound) string {
	var t strings.Builder
	t.WriteString("| parameter | value | meaning | set by |\n|---|---|---|---|\n")
	values := reflect.ValueOf(b.Params)
	for _, f := range paramsOf(b.Check) {
		by := "`parameters: {" + b.Rule.ID + ": {" + f.Name + ": …}}`"
		if key := b.Rule.Configured[f.Name]; key != "" {
			by = "`" + key + "`"
		}
		value := strings.ReplaceAll(formatValue(values.FieldByIndex(f.Index)), "|", `\|`)
		fmt.Fprintf(&t, "| `%s` | `%s` | %s | %s |\n", f.Name, value, cell(f.Doc), by)
	}
	return t.String()
}

// uncommented is a configuration with every example in force.
func uncommented(text []byte) string {
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		if at := strings.Index(line, "#"); at >= 0 && !strings.HasPrefix(line[at:], "# ") {
			line = line[:at] + line[at+1:]
		}
		b.WriteString(line)
	}
	return b.String()
}

// Whatever was found, the configuration that init writes is valid, and holds it.
func TestInitText(t *testing.T) {
	t.Parallel()
	if _, err := config.Parse("f", []byte(uncommented(configText(nil)))); err != nil {
		t.Errorf("the examples are wrong: %v", err)
	}
	for name, dirs := range map[string][]string{
		"plain":  {"/opt/trueconnector"},
		"two":    {"/opt/a", "/opt/b"},
		"nasty":  {"/opt/a b: {c}#", "/opt/\x1b[2J\u202e", "/opt/\"'\\", "/opt/ü", "/ no", "/opt/x\ny"},
		"yamlly": {"/- a", "/~", "/opt/&a", "/opt/*", "/true"},
	} {
		found := []discovery{
			{Key: "connector.dir", Values: dirs, Seen: "label of\ncontainer x: y"},
			{Key: "ntp.servers", Values: []string{"1.2.3.4", "no", "5"}, Seen: "f:1"},
			{Key: "ssh.group", Values: []string{"yes"}, Single: true, Seen: "f:2"},
		}
		cfg, err := config.Parse("f", configText(found))
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, configText(found))
			continue
		}
		if diff := cmp.Diff(dirs, []string(cfg.Connector.Dir)); diff != "" {
			t.Errorf("%s: folders (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff([]config.Server{"1.2.3.4", "no", "5"}, cfg.NTP.Servers); diff != "" {
			t.Errorf("%s: servers (-want +got):\n%s", name, diff)
		}
		if cfg.SSH.Group != "yes" {
			t.Errorf("%s: group = %q", name, cfg.SSH.Group)
		}
	}
}
