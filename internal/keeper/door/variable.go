package door

// Variable is the variable that makes a program a keeper. It has the path of the state folder.
const Variable = "DIVISI_KEEPER"
