/* exampled does stuff, and says so in the file "stuff" of the folder where it runs. */
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	FILE *stuff = fopen("part", "w");

	if (!stuff)
		return 1;
	for (int i = 1; i < argc; i++)
		fprintf(stuff, "done %s\n", argv[i]);
	if (fclose(stuff) || rename("part", "stuff"))
		return 1;
	for (;;)
		pause();
}
