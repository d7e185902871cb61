// Placeholder so that the program compiles before it is furnished.
@main struct Program {
    static func main() {}
}
