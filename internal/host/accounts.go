package host

type accountFacts struct{}
